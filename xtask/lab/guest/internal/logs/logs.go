// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package logs keeps the last part of each service's log in memory and lets readers follow it.
//
// It must not know services: a log exists once its writer was requested.
package logs

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
)

// Capacity of one log; the oldest lines go first. Talos keeps 1 MiB as well (constants.LogSizeMax…; circular buffers).
const Capacity = 1 << 20

// Registry holds the logs by id.
type Registry struct {
	mu   sync.Mutex
	logs map[string]*Log
}

// NewRegistry makes an empty one.
func NewRegistry() *Registry { return &Registry{logs: map[string]*Log{}} }

// Open returns the log with that id and makes it if need be.
func (r *Registry) Open(id string) *Log {
	r.mu.Lock()
	defer r.mu.Unlock()

	l, ok := r.logs[id]
	if !ok {
		l = &Log{changed: make(chan struct{})}
		r.logs[id] = l
	}

	return l
}

// Get returns the log with that id if there is one.
func (r *Registry) Get(id string) (*Log, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	l, ok := r.logs[id]

	return l, ok
}

// IDs of all logs, sorted.
func (r *Registry) IDs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()

	ids := make([]string, 0, len(r.logs))
	for id := range r.logs {
		ids = append(ids, id)
	}

	slices.Sort(ids)

	return ids
}

// Log is one growing text. Offsets count from the first byte ever written.
type Log struct {
	mu      sync.Mutex
	data    []byte
	dropped int64
	changed chan struct{}
}

// Write appends and wakes every follower.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.data = append(l.data, p...)

	if len(l.data) > Capacity {
		cut := len(l.data) - Capacity/2
		if nl := bytes.IndexByte(l.data[cut:], '\n'); nl >= 0 {
			cut += nl + 1
		}

		l.data = append([]byte(nil), l.data[cut:]...)
		l.dropped += int64(cut)
	}

	close(l.changed)
	l.changed = make(chan struct{})

	return len(p), nil
}

// from returns what is there at and after an offset, the offset after it, and a channel that closes at the next write.
func (l *Log) from(offset int64) ([]byte, int64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()

	start := max(offset-l.dropped, 0)
	chunk := append([]byte(nil), l.data[start:]...)

	return chunk, l.dropped + int64(len(l.data)), l.changed
}

// tailOffset is where the last n lines begin.
func (l *Log) tailOffset(n int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()

	pos := len(l.data)
	if pos > 0 && l.data[pos-1] == '\n' {
		pos--
	}

	for ; n > 0 && pos >= 0; n-- {
		pos = bytes.LastIndexByte(l.data[:pos], '\n')
	}

	return l.dropped + int64(pos+1)
}

// Read hands the log to sink: the last `tail` lines, or all of it if tail is negative, then, if follow is set, what is written
// from then on until ctx ends.
func (l *Log) Read(ctx context.Context, tail int, follow bool, sink func([]byte) error) error {
	offset := int64(0)

	switch {
	case tail > 0:
		offset = l.tailOffset(tail)
	case tail == 0:
		_, offset, _ = l.from(0)
	}

	for {
		chunk, next, changed := l.from(offset)
		offset = next

		if len(chunk) > 0 {
			if err := sink(chunk); err != nil {
				return err
			}
		}

		if !follow {
			return nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

var _ io.Writer = (*Log)(nil)
