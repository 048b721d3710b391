// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package profiling serves net/http/pprof on a port of its own, as Talos' debug builds do (`sidero.debug`; apid 9981, machined
// 9982, trustd 9983).
//
// It must not be shared between services: each is a process of its own here too, so that every port has its own profiles.
package profiling

import (
	"context"
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof" // the handlers on http.DefaultServeMux are the point
	"runtime"
	"time"
)

// Ports as in Talos.
const (
	APID     = 9981
	Machined = 9982
	Trustd   = 9983
)

// The rates of a debug build (internal/app/…/main.go with go-debug).
const (
	blockRate = 10000
	mutexRate = 10000
	memRate   = 512 * 1024
)

// SetRates is called as early as possible, or the memory profile misses the start.
func SetRates() {
	runtime.SetBlockProfileRate(blockRate)
	runtime.SetMutexProfileFraction(mutexRate)
	runtime.MemProfileRate = memRate
}

// Serve runs until ctx ends.
func Serve(ctx context.Context, port int) {
	server := &http.Server{Addr: fmt.Sprintf(":%d", port), Handler: http.DefaultServeMux, ReadHeaderTimeout: 10 * time.Second}

	go func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck
	}()

	if err := server.ListenAndServe(); err != nil && ctx.Err() == nil {
		log.Printf("failed to start debug server: %s", err)
	}
}
