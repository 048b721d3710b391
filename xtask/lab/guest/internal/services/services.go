// Package services runs the node's services, keeps their states and histories, and restarts what fails.
//
// It must not know what a service does; internal/boot lists them. States and messages are those of
// internal/app/machined/pkg/system/service_runner.go.
package services

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"lab.invalid/guest/internal/events"
)

// Service is one thing to run.
type Service struct {
	ID string
	// Wait returns when the service may start; its description is shown while it waits. May be nil.
	Wait     func(ctx context.Context) error
	WaitName string
	// Run runs until ctx ends. It calls up() once it does its job.
	Run func(ctx context.Context, up func(message string)) error
	// Health is asked every few seconds while the service runs. Nil means that nothing is known about its health.
	Health func(ctx context.Context) error
	// API says that `talosctl service ID restart|stop|start` is allowed.
	API bool
}

const (
	restartDelay   = time.Second
	healthInterval = 5 * time.Second
	keptEvents     = 32
)

type entry struct {
	svc     Service
	cancel  context.CancelFunc
	done    chan struct{}
	state   string
	events  []*machine.ServiceEvent
	healthy bool
	known   bool
	health  string
	checked time.Time
}

// Manager owns the services.
type Manager struct {
	Events *events.Stream
	State  state.State

	mu      sync.Mutex
	entries map[string]*entry
	changed chan struct{}
}

// New makes a manager without services.
func New(ev *events.Stream, st state.State) *Manager {
	return &Manager{Events: ev, State: st, entries: map[string]*entry{}, changed: make(chan struct{})}
}

// Load adds services without starting them.
func (m *Manager) Load(list ...Service) {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, svc := range list {
		if m.entries[svc.ID] == nil {
			m.entries[svc.ID] = &entry{svc: svc, state: "Initialized", health: "Unknown"}
		}
	}
}

// Start starts loaded services; those that run already are left alone.
func (m *Manager) Start(ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, id := range ids {
		e := m.entries[id]
		if e == nil {
			return fmt.Errorf("service \"%s\" not defined", id)
		}

		if e.done != nil {
			select {
			case <-e.done:
			default:
				continue
			}
		}

		var ctx context.Context

		ctx, e.cancel = context.WithCancel(context.Background())
		e.done = make(chan struct{})

		go m.supervise(ctx, e, e.done)
	}

	return nil
}

// Stop ends services and waits for them, all at once.
func (m *Manager) Stop(ctx context.Context, ids ...string) error {
	var waits []chan struct{}

	m.mu.Lock()

	for _, id := range ids {
		e := m.entries[id]
		if e == nil {
			m.mu.Unlock()

			return fmt.Errorf("service \"%s\" not defined", id)
		}

		if e.cancel != nil {
			e.cancel()
			waits = append(waits, e.done)
		}
	}

	m.mu.Unlock()

	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	return nil
}

// IDs of all loaded services, sorted.
func (m *Manager) IDs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()

	ids := make([]string, 0, len(m.entries))
	for id := range m.entries {
		ids = append(ids, id)
	}

	slices.Sort(ids)

	return ids
}

// Allowed tells whether the API may control a service.
func (m *Manager) Allowed(id string) (defined, allowed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	e := m.entries[id]

	return e != nil, e != nil && e.svc.API
}

// WaitUp returns when the services run and are healthy (or have no health), or when ctx ends.
func (m *Manager) WaitUp(ctx context.Context, ids ...string) error {
	for {
		m.mu.Lock()

		up := true

		for _, id := range ids {
			e := m.entries[id]
			up = up && e != nil && e.state == "Running" && (e.svc.Health == nil || e.healthy)
		}

		changed := m.changed
		m.mu.Unlock()

		if up {
			return nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *Manager) supervise(ctx context.Context, e *entry, done chan struct{}) {
	defer close(done)

	if e.svc.Wait != nil {
		m.set(e, "Waiting", machine.ServiceStateEvent_WAITING, "Waiting for "+e.svc.WaitName)

		if err := e.svc.Wait(ctx); err != nil {
			m.set(e, "Finished", machine.ServiceStateEvent_FINISHED, "Service finished before it was started")

			return
		}
	}

	for {
		m.set(e, "Preparing", machine.ServiceStateEvent_PREPARING, "Running pre state")
		m.set(e, "Preparing", machine.ServiceStateEvent_PREPARING, "Creating service runner")

		err := m.runOnce(ctx, e)

		if ctx.Err() != nil {
			m.set(e, "Finished", machine.ServiceStateEvent_FINISHED, "Service finished successfully")

			return
		}

		if err == nil {
			err = errors.New("ended by itself")
		}

		m.set(e, "Waiting", machine.ServiceStateEvent_WAITING, fmt.Sprintf("Error running %s, going to restart forever: %s", e.svc.ID, err))

		select {
		case <-ctx.Done():
		case <-time.After(restartDelay):
		}
	}
}

// runOnce turns a panic of a service into its failure: one stand-in that breaks must not take PID 1 along.
func (m *Manager) runOnce(ctx context.Context, e *entry) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()

	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()

	return e.svc.Run(runCtx, func(message string) {
		m.set(e, "Running", machine.ServiceStateEvent_RUNNING, message)

		if e.svc.Health != nil {
			go m.watchHealth(runCtx, e)
		}
	})
}

func (m *Manager) watchHealth(ctx context.Context, e *entry) {
	interval := 100 * time.Millisecond // until it is healthy for the first time

	for ctx.Err() == nil {
		checkCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := e.svc.Health(checkCtx)

		cancel()

		if ctx.Err() != nil {
			return
		}

		if err == nil {
			interval = healthInterval
		}

		m.setHealth(e, err)

		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
}

func (m *Manager) setHealth(e *entry, err error) {
	m.mu.Lock()

	first, was := !e.known, e.healthy
	e.known, e.healthy, e.checked, e.health = true, err == nil, time.Now(), ""

	if err != nil {
		e.health = err.Error()
	}

	m.mu.Unlock()

	switch {
	case err == nil && (first || !was):
		m.set(e, "Running", machine.ServiceStateEvent_RUNNING, "Health check successful")
	case err != nil && (first || was):
		m.set(e, "Running", machine.ServiceStateEvent_RUNNING, fmt.Sprintf("Health check failed: %s", err))
	}
}

// set records a state with its message, publishes it, and updates the resource that `get services` and readiness read.
func (m *Manager) set(e *entry, stateName string, action machine.ServiceStateEvent_Action, message string) {
	m.mu.Lock()

	e.state = stateName
	if stateName != "Running" {
		e.known, e.healthy, e.health = false, false, "Unknown"
	}

	e.events = append(e.events, &machine.ServiceEvent{Msg: message, State: stateName, Ts: timestamppb.Now()})
	if len(e.events) > keptEvents {
		e.events = e.events[len(e.events)-keptEvents:]
	}

	health := healthProto(e)
	spec := v1alpha1.ServiceSpec{Running: stateName == "Running", Healthy: e.healthy, Unknown: e.svc.Health == nil}

	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()

	log.Printf("service[%s](%s): %s", e.svc.ID, stateName, message)
	m.Events.Publish(context.Background(), &machine.ServiceStateEvent{Service: e.svc.ID, Action: action, Message: message, Health: health})

	ctx := context.Background()
	res := v1alpha1.NewService(e.svc.ID)

	if !spec.Running {
		// A service has a resource only while it runs (internal/app/machined/pkg/controllers/v1alpha1/service.go).
		m.State.Destroy(ctx, res.Metadata()) //nolint:errcheck

		return
	}

	safe.StateModify(ctx, m.State, res, func(r *v1alpha1.Service) error { //nolint:errcheck
		*r.TypedSpec() = spec

		return nil
	})
}

func healthProto(e *entry) *machine.ServiceHealth {
	return &machine.ServiceHealth{
		Unknown: !e.known, Healthy: e.healthy, LastMessage: e.health, LastChange: timestamppb.New(e.checked),
	}
}

// List is ServiceList's answer.
func (m *Manager) List() []*machine.ServiceInfo {
	m.mu.Lock()
	defer m.mu.Unlock()

	var list []*machine.ServiceInfo

	for _, e := range m.entries {
		list = append(list, &machine.ServiceInfo{
			Id: e.svc.ID, State: e.state, Events: &machine.ServiceEvents{Events: slices.Clone(e.events)}, Health: healthProto(e),
		})
	}

	slices.SortFunc(list, func(a, b *machine.ServiceInfo) int {
		if a.Id < b.Id {
			return -1
		}

		return 1
	})

	return list
}
