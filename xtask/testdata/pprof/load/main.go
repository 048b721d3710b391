// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Command load makes the profiles of this folder: a few seconds of work that is told apart by labels, recursion, inlined calls, generics,
// lock contention and goroutines that wait. With -listen it serves net/http/pprof instead, for trying `xtask pprof` by hand.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"sync"
	"time"
)

// The lines of all functions are in the recorded profiles and answers:
// they must stay where they are.
func fib(n int) int {
	if n < 2 {
		return n
	}

	return fib(n-1) + fib(n-2)
}

func small(x int) int { return x*31 + 7 }

func medium(x int) int { return small(x) ^ small(x+1) }

type number interface{ ~int | ~float64 }

type table[K comparable, V number] struct{ rows map[K]V }

func (t *table[K, V]) add(key K, value V) { t.rows[key] += value }

func sum[V interface {
	number
	comparable
}](values []V) (total V) {
	for _, value := range values {
		total += value
	}

	return total
}

func (c *controller) Run(ctx context.Context, rounds int) {
	t := table[string, float64]{rows: map[string]float64{}}

	for i := range rounds {
		c.reconcile(ctx, i, &t)
	}
}

func (c *controller) reconcile(_ context.Context, i int, t *table[string, float64]) {
	digest := sha256.Sum256([]byte(strings.Repeat(c.name, 200)))
	words := strings.Fields(strings.Repeat(fmt.Sprintf("%x ", digest), 20))
	sort.Strings(words)
	t.add(words[0], float64(medium(i)))

	values := make([]int, 4096)
	for j := range values {
		values[j] = medium(j)
	}

	t.add("sum", float64(sum(values)+fib(18)))

	c.mu.Lock()
	c.kept = append(c.kept, make([]byte, 8<<10))
	time.Sleep(50 * time.Microsecond)
	c.mu.Unlock()
}

func work(rounds int) []*controller {
	mu := &sync.Mutex{}
	names := []string{"network.LinkSpecController", "k8s.KubeletServiceController", "time.SyncController"}
	controllers := make([]*controller, 0, len(names))

	var wg sync.WaitGroup

	for i, name := range names {
		c := &controller{name: name, mu: mu}
		controllers = append(controllers, c)

		wg.Go(func() {
			pprof.Do(context.Background(), pprof.Labels("controller", name, "area", strings.Split(name, ".")[0]), func(ctx context.Context) {
				c.Run(ctx, rounds*(i+1))
			})
		})
	}

	wg.Wait()

	return controllers
}

func wait(stop chan struct{}, n int) {
	for range n {
		go func() { <-stop }()
	}
}

func save(dir, name, kind string) {
	f, err := os.Create(filepath.Join(dir, name+".pb.gz"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	if err := pprof.Lookup(kind).WriteTo(f, 0); err != nil {
		log.Fatal(err)
	}
}

func main() {
	dir := flag.String("o", "", "write the profiles here")
	listen := flag.String("listen", "", "serve net/http/pprof on this address and work until stopped")
	rounds := flag.Int("rounds", 400, "how much to do")
	flag.Parse()

	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(10000)

	stop := make(chan struct{})
	wait(stop, 5)

	if *listen != "" {
		go func() { log.Fatal(http.ListenAndServe(*listen, nil)) }()

		for {
			runtime.KeepAlive(work(*rounds))
		}
	}

	cpu, err := os.Create(filepath.Join(*dir, "cpu.pb.gz"))
	if err != nil {
		log.Fatal(err)
	}

	if err := pprof.StartCPUProfile(cpu); err != nil {
		log.Fatal(err)
	}

	first := work(*rounds)
	save(*dir, "heap-before", "heap")

	second := work(*rounds)

	pprof.StopCPUProfile()
	cpu.Close()

	runtime.GC()
	save(*dir, "heap", "heap")
	save(*dir, "allocs", "allocs")
	save(*dir, "goroutine", "goroutine")
	save(*dir, "mutex", "mutex")
	save(*dir, "block", "block")
	save(*dir, "threadcreate", "threadcreate")
	runtime.KeepAlive(first)
	runtime.KeepAlive(second)
	close(stop)
}

type controller struct {
	name string
	mu   *sync.Mutex
	kept [][]byte
}
