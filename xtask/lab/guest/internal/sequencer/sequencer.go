// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package sequencer runs named sequences of phases of tasks, prints Talos' lines about them and publishes Talos' events.
//
// It must not know what a task does. The lines are those of internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_controller.go,
// spelling ("tasks(s)") included: programs parse them.
package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"golang.org/x/sync/errgroup"

	"lab.invalid/guest/internal/events"
)

// Names of the sequences, as Talos spells them.
const (
	Initialize = "initialize"
	Install    = "install"
	Boot       = "boot"
	Reboot     = "reboot"
	Shutdown   = "shutdown"
	Upgrade    = "upgrade"
)

// Task is one piece of work. A nil Run is a task that this node has no use for: it counts, but is not run, as in Talos.
type Task struct {
	Name string
	Run  func(ctx context.Context, logger *log.Logger) error
}

// Phase is a set of tasks that run at the same time. A Check that says no skips the phase; it still counts.
type Phase struct {
	Name  string
	Check func() bool
	Tasks []Task
}

// ErrEnd is returned by the last task of a sequence that ends the machine. No line says that such a sequence is done: in Talos the
// task fails with an error that stands for reboot(2), and nothing is printed for that one.
var ErrEnd = errors.New("the machine ends here")

// ErrLocked means that another sequence runs that this one may not end.
var ErrLocked = errors.New("locked")

// Sequencer runs one sequence at a time.
type Sequencer struct {
	Events *events.Stream
	// BeforePhase is called for every phase that is about to run; faults are injected here.
	BeforePhase func(ctx context.Context, phase string)

	mu     sync.Mutex
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

// takesOver tells which sequences end the ones that bring a node up. Nothing ends a node that is on its way down
// (internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_priority_lock.go).
func takesOver(next, current string) bool {
	down := map[string]bool{Reboot: true, Shutdown: true, Upgrade: true}

	return down[next] && !down[current]
}

func (s *Sequencer) acquire(ctx context.Context, name string) (context.Context, error) {
	for {
		s.mu.Lock()

		if s.done == nil {
			ctx, s.cancel = context.WithCancel(ctx)
			s.name, s.done = name, make(chan struct{})
			s.mu.Unlock()

			return ctx, nil
		}

		current, cancel, done := s.name, s.cancel, s.done
		s.mu.Unlock()

		if !takesOver(name, current) {
			return nil, ErrLocked
		}

		cancel()

		select {
		case <-done:
		case <-time.After(time.Minute):
			return nil, ErrLocked
		}
	}
}

func (s *Sequencer) release() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cancel()
	close(s.done)
	s.name, s.cancel, s.done = "", nil, nil
}

// Run runs a sequence to its end, to its first failing phase, or until one that takes over cancels it.
func (s *Sequencer) Run(ctx context.Context, name string, phases []Phase) error {
	locked, err := s.acquire(ctx, name)
	if err != nil {
		s.failed(ctx, name, common.Code_LOCKED, fmt.Sprintf("sequence not started: %s", err))

		return err
	}

	defer s.release()

	if err = s.run(locked, name, phases); err != nil && !errors.Is(err, ErrEnd) {
		code := common.Code_FATAL
		if errors.Is(err, context.Canceled) {
			code = common.Code_CANCELED
		}

		s.failed(ctx, name, code, fmt.Sprintf("sequence failed: %s", err))
	}

	return err
}

func (s *Sequencer) failed(ctx context.Context, name string, code common.Code, message string) {
	s.Events.Publish(ctx, &machine.SequenceEvent{
		Sequence: name, Action: machine.SequenceEvent_NOOP, Error: &common.Error{Code: code, Message: message},
	})
}

func (s *Sequencer) run(ctx context.Context, name string, phases []Phase) (err error) {
	s.Events.Publish(ctx, &machine.SequenceEvent{Sequence: name, Action: machine.SequenceEvent_START})
	defer s.Events.Publish(ctx, &machine.SequenceEvent{Sequence: name, Action: machine.SequenceEvent_STOP})

	start := time.Now()

	log.Printf("%s sequence: %d phase(s)", name, len(phases))

	for i, phase := range phases {
		if phase.Check != nil && !phase.Check() {
			continue
		}

		if err = s.runPhase(ctx, phase, fmt.Sprintf("%d/%d", i+1, len(phases))); err != nil {
			if !errors.Is(err, ErrEnd) {
				log.Printf("%s sequence: failed", name)
			}

			return fmt.Errorf("error running phase %d in %s sequence: %w", i+1, name, err)
		}

		if ctx.Err() != nil {
			return ctx.Err()
		}
	}

	log.Printf("%s sequence: done: %s", name, time.Since(start))

	return nil
}

func (s *Sequencer) runPhase(ctx context.Context, phase Phase, progress string) error {
	start := time.Now()

	log.Printf("phase %s (%s): %d tasks(s)", phase.Name, progress, len(phase.Tasks))
	s.Events.Publish(ctx, &machine.PhaseEvent{Phase: phase.Name, Action: machine.PhaseEvent_START})

	defer s.Events.Publish(ctx, &machine.PhaseEvent{Phase: phase.Name, Action: machine.PhaseEvent_STOP})

	if s.BeforePhase != nil {
		s.BeforePhase(ctx, phase.Name)
	}

	group, taskCtx := errgroup.WithContext(ctx)

	for i, task := range phase.Tasks {
		if task.Run == nil {
			continue
		}

		position := fmt.Sprintf("%d/%d", i+1, len(phase.Tasks))

		group.Go(func() error {
			if err := s.runTask(taskCtx, task, position); err != nil {
				return fmt.Errorf("task %s: failed, %w", position, err)
			}

			return nil
		})
	}

	if err := group.Wait(); err != nil {
		if !errors.Is(err, ErrEnd) {
			log.Printf("phase %s (%s): failed", phase.Name, progress)
		}

		return err
	}

	log.Printf("phase %s (%s): done, %s", phase.Name, progress, time.Since(start))

	return nil
}

func (s *Sequencer) runTask(ctx context.Context, task Task, position string) error {
	start := time.Now()

	log.Printf("task %s (%s): starting", task.Name, position)
	s.Events.Publish(ctx, &machine.TaskEvent{Task: task.Name, Action: machine.TaskEvent_START})

	defer s.Events.Publish(ctx, &machine.TaskEvent{Task: task.Name, Action: machine.TaskEvent_STOP})

	logger := log.New(log.Writer(), fmt.Sprintf("[talos] task %s (%s): ", task.Name, position), 0)

	if err := task.Run(ctx, logger); err != nil {
		if !errors.Is(err, ErrEnd) {
			log.Printf("task %s (%s): failed: %s", task.Name, position, err)
		}

		return err
	}

	log.Printf("task %s (%s): done, %s", task.Name, position, time.Since(start))

	return nil
}
