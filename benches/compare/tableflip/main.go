// A server in Go that replaces itself with github.com/cloudflare/tableflip, as the library's own example does: SIGHUP starts
// the new process with the listener, the new process says that it is ready, and the old one calls Server.Shutdown.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
)

// The longest time for the old process to drain.
const grace = 5 * time.Second

func main() {
	listen := flag.String("listen", "", "where to listen")
	pidFile := flag.String("pid-file", "", "the process that serves")
	threads := flag.Int("threads", 2, "threads that run Go code")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)

	upgrader, err := tableflip.New(tableflip.Options{PIDFile: *pidFile})
	if err != nil {
		log.Fatal(err)
	}
	defer upgrader.Stop()
	go func() {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		for range hangup {
			if err := upgrader.Upgrade(); err != nil {
				log.Print("upgrade failed: ", err)
			}
		}
	}()
	listener, err := upgrader.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: routes()}
	go func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	if err := upgrader.Ready(); err != nil {
		log.Fatal(err)
	}
	<-upgrader.Exit()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answer(w, "Hello, world!") })
	mux.HandleFunc("/sleep", func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		answer(w, "slept")
	})
	return mux
}

func answer(w http.ResponseWriter, content string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write([]byte(content))
}
