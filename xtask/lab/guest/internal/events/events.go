// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package events is the node's event stream: a short history and any number of watchers.
//
// It must not interpret events. What the events mean is up to the sequencer, the services and the controllers.
package events

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const history = 512

// Event is one published message.
type Event struct {
	ID      string
	Actor   string
	Time    time.Time
	Payload proto.Message
}

// Proto is the event as talosctl reads it. The type URL has Talos' own prefix
// (internal/app/machined/pkg/runtime/events.go): `type.googleapis.com/` is refused by clients.
func (e Event) Proto() (*machine.Event, error) {
	value, err := proto.Marshal(e.Payload)
	if err != nil {
		return nil, err
	}

	return &machine.Event{
		Data:    &anypb.Any{TypeUrl: "talos/runtime/" + string(e.Payload.ProtoReflect().Descriptor().FullName()), Value: value},
		Id:      e.ID,
		ActorId: e.Actor,
	}, nil
}

// Stream is safe for any number of publishers and watchers.
type Stream struct {
	mu      sync.Mutex
	next    int64
	ring    []Event
	changed chan struct{}
	now     int // followers from outside
	ever    int
}

// New makes an empty stream.
func New() *Stream { return &Stream{changed: make(chan struct{})} }

type actorKey struct{}

// WithActor marks everything published under ctx as caused by the call with that id: `talosctl reboot` follows only its own.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Actor of a context, or "".
func Actor(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)

	return actor
}

// Publish never blocks.
func (s *Stream) Publish(ctx context.Context, payload proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	s.ring = append(s.ring, Event{ID: fmt.Sprintf("%016x%04x", now.UnixNano(), s.next&0xffff), Actor: Actor(ctx), Time: now, Payload: payload})
	s.next++

	if len(s.ring) > history {
		s.ring = append([]Event(nil), s.ring[len(s.ring)-history:]...)
	}

	close(s.changed)
	s.changed = make(chan struct{})
}

// Join counts a follower from outside, until it leaves.
func (s *Stream) Join() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.now++
	s.ever++

	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.now--
	}
}

// Followers are how many there are, and how often one has joined.
func (s *Stream) Followers() (now, ever int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.now, s.ever
}

// Since says which part of the history a watcher wants before the new events.
type Since struct {
	Tail  int           // last N events; negative: all
	After string        // events after the one with this id
	Age   time.Duration // events not older than this
}

func (s *Stream) start(since Since) int64 {
	first := s.next - int64(len(s.ring))

	switch {
	case since.Tail < 0:
		return first
	case since.Tail > 0:
		return max(first, s.next-int64(since.Tail))
	case since.After != "" || since.Age > 0:
		for i, e := range s.ring {
			if (since.After != "" && e.ID > since.After) || (since.Age > 0 && time.Since(e.Time) <= since.Age) {
				return first + int64(i)
			}
		}
	}

	return s.next
}

// Watch calls sink for the chosen history and for every later event, until ctx ends or sink fails.
func (s *Stream) Watch(ctx context.Context, since Since, sink func(Event) error) error {
	s.mu.Lock()
	pos := s.start(since)
	s.mu.Unlock()

	for {
		s.mu.Lock()
		first := s.next - int64(len(s.ring))
		batch := append([]Event(nil), s.ring[max(pos-first, 0):]...)
		pos = s.next
		changed := s.changed
		s.mu.Unlock()

		for _, e := range batch {
			if err := sink(e); err != nil {
				return err
			}
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
