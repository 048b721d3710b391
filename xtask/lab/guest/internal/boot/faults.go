// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// faults are asked for on the kernel command line as lab.fault=NAME[=VALUE], several times if need be. cmd/init documents them.
type faults map[string]string

func parseFaults(values []string) faults {
	f := faults{}

	for _, v := range values {
		name, value, _ := strings.Cut(v, "=")
		f[name] = value
	}

	return f
}

func (f faults) has(name string) bool {
	_, ok := f[name]

	return ok
}

func (f faults) panicEarly() {
	if f.has("panic-early") {
		panic("lab.fault=panic-early is on the kernel command line")
	}
}

// Hog is argv[0] of the process that takes all memory.
const Hog = "memory-hog"

// TakeAllMemory never returns: the kernel chooses this process, and no other, when memory runs out.
func TakeAllMemory() {
	os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o644) //nolint:errcheck

	for {
		// Without a fault for each page: an emulated processor takes a minute for those.
		unix.Mmap(-1, 0, 1<<26, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE) //nolint:errcheck
	}
}

// beforePhase runs ahead of every phase of every sequence.
func (f faults) beforePhase(ctx context.Context, phase string) {
	if f["hang-phase"] == phase && phase != "" {
		log.Printf("lab.fault=hang-phase=%s: hanging", phase)
		<-ctx.Done()
	}

	if phase != firstBootPhase {
		return
	}

	if seconds, err := strconv.Atoi(f["slow-boot"]); err == nil {
		log.Printf("lab.fault=slow-boot=%d: waiting", seconds)

		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(seconds) * time.Second):
		}
	}

	if f.has("out-of-memory") {
		log.Printf("lab.fault=out-of-memory: taking all memory")

		hog := exec.Command("/proc/self/exe")
		hog.Args[0] = Hog

		log.Printf("lab.fault=out-of-memory: ended: %v", hog.Run())
	}

	if f.has("kernel-panic") {
		log.Printf("lab.fault=kernel-panic: asking the kernel to crash")
		os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0o644) //nolint:errcheck
		os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0o200)    //nolint:errcheck
	}
}
