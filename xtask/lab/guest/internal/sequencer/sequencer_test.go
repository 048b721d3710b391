// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package sequencer_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"lab.invalid/guest/internal/events"
	"lab.invalid/guest/internal/sequencer"
)

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.buf.String()
}

// console catches what the sequencer prints.
func console(t *testing.T) *safeBuffer {
	t.Helper()

	out, before := &safeBuffer{}, log.Writer()

	log.SetOutput(out)
	log.SetFlags(0)
	t.Cleanup(func() { log.SetOutput(before) })

	return out
}

func fine(context.Context, *log.Logger) error { return nil }

func phase(name string, run func(context.Context, *log.Logger) error) sequencer.Phase {
	return sequencer.Phase{Name: name, Tasks: []sequencer.Task{{Name: name + "Task", Run: run}}}
}

var duration = regexp.MustCompile(`[0-9.]+(ns|µs|ms|s)`)

func TestLines(t *testing.T) {
	out := console(t)
	s := &sequencer.Sequencer{Events: events.New()}

	skipped := phase("skipped", fine)
	skipped.Check = func() bool { return false }

	if err := s.Run(t.Context(), sequencer.Boot, []sequencer.Phase{phase("one", fine), skipped, phase("two", func(_ context.Context, l *log.Logger) error {
		l.Printf("hello")

		return nil
	})}); err != nil {
		t.Fatal(err)
	}

	want := `boot sequence: 3 phase(s)
phase one (1/3): 1 tasks(s)
task oneTask (1/1): starting
task oneTask (1/1): done, T
phase one (1/3): done, T
phase two (3/3): 1 tasks(s)
task twoTask (1/1): starting
[talos] task twoTask (1/1): hello
task twoTask (1/1): done, T
phase two (3/3): done, T
boot sequence: done: T
`
	if got := duration.ReplaceAllString(out.String(), "T"); got != want {
		t.Errorf("got:\n%s", got)
	}
}

func TestFailure(t *testing.T) {
	out := console(t)
	stream := events.New()
	s := &sequencer.Sequencer{Events: stream}

	err := s.Run(t.Context(), sequencer.Boot, []sequencer.Phase{phase("bad", func(context.Context, *log.Logger) error { return errors.New("broken") }), phase("never", fine)})
	if err == nil || err.Error() != "error running phase 1 in boot sequence: task 1/1: failed, broken" {
		t.Errorf("error: %v", err)
	}

	for _, line := range []string{"task badTask (1/1): failed: broken", "phase bad (1/2): failed", "boot sequence: failed"} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("%q was not printed", line)
		}
	}

	if code, found := lastError(t, stream); !found || code != common.Code_FATAL {
		t.Errorf("code: %v, %v", code, found)
	}
}

func TestTheEndOfTheMachineIsNeitherDoneNorFailed(t *testing.T) {
	out := console(t)
	stream := events.New()
	s := &sequencer.Sequencer{Events: stream}

	err := s.Run(t.Context(), sequencer.Reboot, []sequencer.Phase{phase("reboot", func(context.Context, *log.Logger) error { return sequencer.ErrEnd })})
	if !errors.Is(err, sequencer.ErrEnd) {
		t.Errorf("error: %v", err)
	}

	if want := "reboot sequence: 1 phase(s)\nphase reboot (1/1): 1 tasks(s)\ntask rebootTask (1/1): starting\n"; out.String() != want {
		t.Errorf("got:\n%s", out.String())
	}

	if _, found := lastError(t, stream); found {
		t.Error("an event says that the sequence has failed")
	}
}

func lastError(t *testing.T, stream *events.Stream) (code common.Code, found bool) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	stream.Watch(ctx, events.Since{Tail: -1}, func(e events.Event) error { //nolint:errcheck
		if ev, ok := e.Payload.(*machine.SequenceEvent); ok && ev.GetError() != nil {
			code, found = ev.GetError().GetCode(), true
		}

		return nil
	})

	return code, found
}

func TestRebootTakesOverAndNothingTakesOverAReboot(t *testing.T) {
	console(t)

	stream := events.New()
	s := &sequencer.Sequencer{Events: stream}
	began, boot := make(chan struct{}), make(chan error)

	go func() {
		boot <- s.Run(t.Context(), sequencer.Boot, []sequencer.Phase{phase("long", func(ctx context.Context, _ *log.Logger) error {
			close(began)
			<-ctx.Done()

			return ctx.Err()
		})})
	}()

	<-began

	err := s.Run(t.Context(), sequencer.Reboot, []sequencer.Phase{phase("stop", func(ctx context.Context, _ *log.Logger) error {
		if err := s.Run(ctx, sequencer.Shutdown, nil); !errors.Is(err, sequencer.ErrLocked) {
			t.Errorf("a shutdown during a reboot: %v", err)
		}

		return nil
	})})
	if err != nil {
		t.Error(err)
	}

	if err = <-boot; !errors.Is(err, context.Canceled) {
		t.Errorf("the boot sequence ended with %v", err)
	}
}
