// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package events_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"lab.invalid/guest/internal/events"
)

var errEnough = errors.New("enough")

func collect(t *testing.T, s *events.Stream, since events.Since, n int) []string {
	t.Helper()

	var got []string

	err := s.Watch(t.Context(), since, func(e events.Event) error {
		if e.Payload.(*machine.PhaseEvent).GetPhase() == "end" {
			return errEnough
		}

		got = append(got, e.Payload.(*machine.PhaseEvent).GetPhase())

		return nil
	})
	if !errors.Is(err, errEnough) || len(got) != n {
		t.Fatalf("%v: %v", err, got)
	}

	return got
}

func TestHistory(t *testing.T) {
	s := events.New()
	ctx := events.WithActor(context.Background(), "me")

	for _, name := range []string{"a", "b", "c"} {
		s.Publish(ctx, &machine.PhaseEvent{Phase: name})
	}

	var second string

	s.Watch(t.Context(), events.Since{Tail: -1}, func(e events.Event) error { //nolint:errcheck
		if e.Actor != "me" {
			t.Errorf("the actor is %q", e.Actor)
		}

		if e.Payload.(*machine.PhaseEvent).GetPhase() == "b" {
			second = e.ID

			return errEnough
		}

		return nil
	})

	s.Publish(ctx, &machine.PhaseEvent{Phase: "end"})

	if got := collect(t, s, events.Since{Tail: -1}, 3); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("all: %v", got)
	}

	if got := collect(t, s, events.Since{Tail: 2}, 1); got[0] != "c" {
		t.Errorf("the last two: %v", got)
	}

	if got := collect(t, s, events.Since{After: second}, 1); got[0] != "c" {
		t.Errorf("after b: %v", got)
	}
}

func TestTypeURL(t *testing.T) {
	msg, err := events.Event{Payload: &machine.MachineStatusEvent{}}.Proto()
	if err != nil || msg.GetData().GetTypeUrl() != "talos/runtime/machine.MachineStatusEvent" {
		t.Fatalf("%v: %s", err, msg.GetData().GetTypeUrl())
	}
}

func TestWatchersGetWhatIsNew(t *testing.T) {
	s := events.New()
	s.Publish(t.Context(), &machine.PhaseEvent{Phase: "old"})

	got := make(chan string, 1)

	go s.Watch(t.Context(), events.Since{}, func(e events.Event) error { //nolint:errcheck
		got <- e.Payload.(*machine.PhaseEvent).GetPhase()

		return errEnough
	})

	// The watcher may not have begun: it gets one of those that follow, and never the old one.
	for {
		s.Publish(t.Context(), &machine.PhaseEvent{Phase: "new"})

		select {
		case name := <-got:
			if name != "new" {
				t.Errorf("got %q", name)
			}

			return
		default:
		}
	}
}

func TestFollowers(t *testing.T) {
	s := events.New()
	leave := s.Join()
	s.Join()
	leave()

	if now, ever := s.Followers(); now != 1 || ever != 2 {
		t.Errorf("%d now, %d ever", now, ever)
	}
}
