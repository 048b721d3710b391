// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package node holds what the parts of one node share: its config, identity, state and the actions that the API may ask for.
//
// It must not act by itself; internal/boot builds a Node and gives its actions their meaning.
package node

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/events"
	"lab.invalid/guest/internal/kernel"
	"lab.invalid/guest/internal/logs"
	"lab.invalid/guest/internal/netup"
	"lab.invalid/guest/internal/peers"
	"lab.invalid/guest/internal/sequencer"
	"lab.invalid/guest/internal/services"
)

// Actions change the node; API calls start them.
type Actions interface {
	Reboot(ctx context.Context, in *machine.RebootRequest)
	Shutdown(ctx context.Context, in *machine.ShutdownRequest)
	Upgrade(ctx context.Context, in *machine.UpgradeRequest) error
	// Record notes an upgrade that was asked for through an API that reboots on its own account.
	Record(ctx context.Context, api string, in *machine.UpgradeRequest) error
	// Resolve finds an image's digest in the registries; "" if none has it and that does not matter.
	Resolve(ctx context.Context, image string) (digest string, err error)
	Bootstrap() error
	Apply(ctx context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfiguration, error)
}

// Node is this machine.
type Node struct {
	Cmdline  *kernel.Cmdline
	Logs     *logs.Registry
	Events   *events.Stream
	State    state.State
	Services *services.Manager
	Seq      *sequencer.Sequencer
	Peers    *peers.View
	Actions  Actions

	lease atomic.Pointer[netup.Lease]
	// networkUp closes once there is a lease.
	networkUp chan struct{}

	// PackedVersion is the tag that the initramfs was made for.
	PackedVersion string
	NodeID        string

	cfg atomic.Pointer[config.Provider]
}

// New makes a node that knows nothing yet.
func New(cmdline *kernel.Cmdline, version string) *Node {
	return &Node{
		Cmdline: cmdline, Logs: logs.NewRegistry(), Events: events.New(), Peers: peers.NewView(), PackedVersion: version,
		networkUp: make(chan struct{}),
	}
}

// SetNetwork records what DHCP gave. Call it once.
func (n *Node) SetNetwork(lease *netup.Lease) {
	n.lease.Store(lease)
	close(n.networkUp)
}

// NetworkUp closes once the network is up.
func (n *Node) NetworkUp() <-chan struct{} { return n.networkUp }

// Lease is what DHCP gave, or nil.
func (n *Node) Lease() *netup.Lease { return n.lease.Load() }

// SetConfig makes a config the active one.
func (n *Node) SetConfig(c config.Provider) { n.cfg.Store(&c) }

// Config is the active machine config, or nil.
func (n *Node) Config() config.Provider {
	if p := n.cfg.Load(); p != nil {
		return *p
	}

	return nil
}

// ControlPlane tells whether the config makes this node one.
func (n *Node) ControlPlane() bool {
	c := n.Config()

	return c != nil && c.Machine() != nil && c.Machine().Type().IsControlPlane()
}

// Address is the node's own, once DHCP has answered.
func (n *Node) Address() netip.Addr {
	if lease := n.Lease(); lease != nil {
		return lease.Address.Addr()
	}

	return netip.Addr{}
}

// Hostname as the kernel has it.
func (n *Node) Hostname() string {
	name, _ := os.Hostname()

	return name
}

// Version is the Talos version that this node stands in for: the tag of the config's install image, if that is a version, or
// else the one that the initramfs was packed for. talosctl warns when a server is older than itself.
func (n *Node) Version() string {
	if c := n.Config(); c != nil && c.Machine() != nil && c.Machine().Install() != nil {
		if tag := ImageTag(c.Machine().Install().Image()); semver.IsValid(tag) {
			return tag
		}
	}

	return n.PackedVersion
}

// OSImage is the free text about the system, for people.
func (n *Node) OSImage() string { return "Talos (" + n.Version() + ") lab stand-in, not Talos" }

// KubeletVersion is what the config asks for.
func (n *Node) KubeletVersion() string {
	if c := n.Config(); c != nil && c.Machine() != nil {
		return ImageTag(c.Machine().Kubelet().Image())
	}

	return ""
}

// ImageTag cuts the tag out of an image reference; "" if there is none.
func ImageTag(image string) string {
	image, _, _ = strings.Cut(image, "@")

	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[i+1:]
	}

	return ""
}

// KernelRelease is uname -r.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}

	return unix.ByteSliceToString(u.Release[:])
}

// ReadLine reads a small file and cuts the blanks off.
func ReadLine(path string) string {
	b, _ := os.ReadFile(path)

	return strings.TrimSpace(string(b))
}
