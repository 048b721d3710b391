// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package proc starts processes, reaps every child that PID 1 inherits, and reads the process table.
//
// Children of ours must be started through Start: the reaper takes every exit status there is, so exec.Cmd.Wait would find none.
package proc

import (
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

var (
	mu       sync.Mutex
	children = map[int]chan unix.WaitStatus{}
)

// Reap takes exit statuses until the end. Only for PID 1.
func Reap() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGCHLD)

	for {
		reapAll()
		<-signals
	}
}

func reapAll() {
	// The lock makes a child that ends at once wait until Start has put it on the list.
	mu.Lock()
	defer mu.Unlock()

	for {
		var status unix.WaitStatus

		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}

		if err != nil || pid <= 0 {
			return
		}

		if done, ok := children[pid]; ok {
			delete(children, pid)
			done <- status
		}
	}
}

// Child is a running process.
type Child struct {
	PID  int
	done chan unix.WaitStatus
}

// Start starts a program with the arguments (argv[0] included) and files 0, 1, 2.
func Start(path string, argv, env []string, files []*os.File) (*Child, error) {
	mu.Lock()
	defer mu.Unlock()

	p, err := os.StartProcess(path, argv, &os.ProcAttr{Dir: "/", Env: env, Files: files, Sys: &unix.SysProcAttr{Setsid: true}})
	if err != nil {
		return nil, err
	}

	c := &Child{PID: p.Pid, done: make(chan unix.WaitStatus, 1)}
	children[p.Pid] = c.done

	p.Release() //nolint:errcheck

	return c, nil
}

// Wait returns when the process has ended: nil for exit code 0. Call it once.
func (c *Child) Wait() error {
	status := <-c.done

	switch {
	case status.Signaled():
		return fmt.Errorf("killed by signal %s", status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", status.ExitStatus())
	}

	return nil
}

// Signal sends a signal. The pid cannot be another's: nothing reaps it without going through this package.
func (c *Child) Signal(s unix.Signal) error { return unix.Kill(c.PID, s) }
