// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package controllers fills the node's resources: small controllers on the real COSI runtime, each of which compares what is
// with what the resources say. Their names are those of Talos' controllers for the same resource
// (internal/app/machined/pkg/controllers), because the console lines carry them.
//
// A controller here must take what it publishes from the kernel, from the machine config or from the other nodes: no constants
// that look like facts.
package controllers

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"lab.invalid/guest/internal/node"
)

// reconciler is a controller that does one thing whenever an input changes, a channel closes, or time has passed.
type reconciler struct {
	name    string
	inputs  []controller.Input
	outputs []controller.Output
	every   time.Duration
	wake    func() <-chan struct{}
	// sweeps: resources of this kind that a run does not write are destroyed after it.
	sweeps resource.Kind
	do     func(ctx context.Context, r controller.Runtime, logger *zap.Logger) error
}

func (c *reconciler) Name() string                 { return c.name }
func (c *reconciler) Inputs() []controller.Input   { return c.inputs }
func (c *reconciler) Outputs() []controller.Output { return c.outputs }

func (c *reconciler) Run(ctx context.Context, r controller.Runtime, logger *zap.Logger) error {
	var tick <-chan time.Time

	if c.every > 0 {
		ticker := time.NewTicker(c.every)
		defer ticker.Stop()

		tick = ticker.C
	}

	for {
		var woken <-chan struct{}
		if c.wake != nil {
			woken = c.wake()
		}

		if c.sweeps != nil {
			r.StartTrackingOutputs()
		}

		if err := c.do(ctx, r, logger); err != nil {
			return err
		}

		if c.sweeps != nil {
			if err := r.CleanupOutputs(ctx, c.sweeps); err != nil {
				return err
			}
		}

		r.ResetRestartBackoff()

		select {
		case <-ctx.Done():
			return nil
		case <-r.EventCh():
		case <-tick:
		case <-woken:
		}
	}
}

func exclusive(types ...resource.Type) []controller.Output {
	var outputs []controller.Output
	for _, t := range types {
		outputs = append(outputs, controller.Output{Type: t, Kind: controller.OutputExclusive})
	}

	return outputs
}

func input(namespace resource.Namespace, t resource.Type) controller.Input {
	return controller.Input{Namespace: namespace, Type: t, Kind: controller.InputWeak}
}

// Runtime makes the controller runtime with every controller registered.
func Runtime(n *node.Node, logger *zap.Logger) (*runtime.Runtime, error) {
	rt, err := runtime.NewRuntime(n.State, logger)
	if err != nil {
		return nil, err
	}

	stages := newStages(n.Events)

	for _, c := range []*reconciler{
		machineStatus(n, stages),
		config(n), versions(n), extensionStatus(), extensionServiceConfig(n), securityState(n), volumeStatus(n), mountStatus(), systemInformation(n),
		kernelModuleConfig(n), kernelModuleSpec(), loadedKernelModules(),
		linkStatus(), addressStatus(n), networkStatus(n),
		members(n), nodeStatus(n), staticPods(n), etcdMember(n),
		perfStats(),
	} {
		if err = rt.RegisterController(c); err != nil {
			return nil, err
		}
	}

	return rt, nil
}

func kind(namespace resource.Namespace, t resource.Type) resource.Kind {
	return resource.NewMetadata(namespace, t, "", resource.VersionUndefined)
}

// once wakes a controller when a channel closes, and not again after that.
func once(closes <-chan struct{}) func() <-chan struct{} {
	seen := false

	return func() <-chan struct{} {
		if seen {
			return nil
		}

		select {
		case <-closes:
			// The run that follows sees what the closing announced.
			seen = true

			return nil
		default:
			return closes
		}
	}
}
