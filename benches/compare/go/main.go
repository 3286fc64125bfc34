// Go's net/http as its documentation recommends: Server.Shutdown on a signal, with a context that bounds the shutdown.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	block       = 5 * time.Millisecond
	grace       = 5 * time.Second
	largestEcho = 2 << 20
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to listen")
	threads := flag.Int("threads", 2, "threads that run Go code")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: routes()}
	stopped := make(chan struct{})
	go func() {
		<-stop
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Print(err)
		}
		close(stopped)
	}()
	fmt.Printf("listening on %s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-stopped
}

func routes() http.Handler {
	hello, slept := []byte("Hello, world!"), []byte("slept")
	kib, big := bytes.Repeat([]byte("k"), 1<<10), bytes.Repeat([]byte("M"), 1<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		answer(w, hello)
	})
	mux.HandleFunc("/kib", func(w http.ResponseWriter, _ *http.Request) { answer(w, kib) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { answer(w, big) })
	mux.HandleFunc("/sleep", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		answer(w, slept)
	})
	mux.HandleFunc("/block", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(block)
		answer(w, slept)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(io.LimitReader(r.Body, largestEcho))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, content)
	})
	return mux
}

// answer declares the length of the content, so that net/http does not send the content in chunks.
func answer(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content)
}
