// The tutorial with the remedies of `softstop check`: readiness, a lame duck, an end for streams, and handlers for
// SIGHUP and a second signal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	stopping, stop := context.WithCancel(context.Background())
	var ready atomic.Bool
	ready.Store(true)
	// told must be called before the first byte of a response is written.
	told := func(w http.ResponseWriter) {
		if !ready.Load() {
			w.Header().Set("Connection", "close")
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		told(w)
		fmt.Fprint(w, "hello")
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(700 * time.Millisecond)
		told(w)
		fmt.Fprint(w, "slow")
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil && stopping.Err() == nil {
			fmt.Fprint(w, "tick\n")
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	mux.HandleFunc("/stuck", func(w http.ResponseWriter, r *http.Request) { select {} })
	// Shutdown neither tells nor waits for hijacked connections.
	var upgraded sync.WaitGroup
	mux.HandleFunc("/upgrade", func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		upgraded.Add(1)
		defer upgraded.Done()
		defer connection.Close()
		// The accept key belongs to the key of RFC 6455 section 1.3.
		fmt.Fprint(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		go func() {
			<-stopping.Done()
			// A Close frame with code 1001, and a limit for the client's answer.
			connection.Write([]byte{0x88, 2, 0x03, 0xe9})
			connection.SetReadDeadline(time.Now().Add(time.Second))
		}()
		io.Copy(io.Discard, connection)
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: mux, ReadHeaderTimeout: 2 * time.Second}
	server.RegisterOnShutdown(stop)
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	<-quit
	// The second signal has its default action again, but not in the first half second, because it may belong to the same
	// press.
	time.AfterFunc(500*time.Millisecond, func() { signal.Stop(quit) })
	ready.Store(false)
	// The server still accepts connections. The next response on a kept-alive connection says that the connection will
	// close.
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
	upgraded.Wait()
}
