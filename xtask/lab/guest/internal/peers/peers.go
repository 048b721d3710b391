// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package peers lets the nodes of a cluster find one another without a discovery service: each node tells the control planes
// about itself every few seconds and learns what they know. What Talos does with its discovery service, with Kubernetes and with
// etcd's own membership (internal/app/machined/pkg/controllers/cluster) is one small gossip here.
//
// It must not decide what membership means: services, resources and the Kubernetes stand-in read the view.
package peers

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Member is what a node says about itself.
type Member struct {
	Hostname     string     `json:"hostname"`
	NodeID       string     `json:"nodeID"`
	Address      netip.Addr `json:"address"`
	ControlPlane bool       `json:"controlPlane"`
	OS           string     `json:"os"`
	Kernel       string     `json:"kernel"`
	Kubelet      string     `json:"kubelet"`
	BootID       string     `json:"bootID"`
	MachineID    string     `json:"machineID"`
	EtcdJoined   bool       `json:"etcdJoined"`
	KubeletUp    bool       `json:"kubeletUp"`
	// Stamp is the node's own time of saying so, in ns; the newest word of a node counts.
	Stamp int64 `json:"stamp"`
}

// Fresh tells whether the node has been heard of lately: Kubernetes' own grace period for a node.
func (m Member) Fresh() bool { return time.Since(time.Unix(0, m.Stamp)) < 40*time.Second }

// Cordon is whether a node may be given pods; set by a drain through any control plane.
type Cordon struct {
	On    bool  `json:"on"`
	Stamp int64 `json:"stamp"`
}

// Word is what nodes send one another.
type Word struct {
	Members      []Member          `json:"members"`
	Bootstrapped bool              `json:"bootstrapped"`
	Cordons      map[string]Cordon `json:"cordons,omitempty"`
}

// View is what this node knows.
type View struct {
	mu           sync.Mutex
	self         Member
	members      map[string]Member
	cordons      map[string]Cordon
	bootstrapped bool
	changed      chan struct{}
}

// NewView starts without peers.
func NewView() *View {
	return &View{members: map[string]Member{}, cordons: map[string]Cordon{}, changed: make(chan struct{})}
}

func (v *View) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Changed closes at the next change.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.changed
}

// UpdateSelf changes and restamps what this node says about itself.
func (v *View) UpdateSelf(change func(*Member)) {
	v.mu.Lock()
	defer v.mu.Unlock()

	before := v.self
	change(&v.self)

	moved := before != v.self
	v.self.Stamp = time.Now().UnixNano()

	if v.self.Hostname != "" {
		v.members[v.self.Hostname] = v.self
	}

	if moved {
		v.wake()
	}
}

// Self is what this node says about itself.
func (v *View) Self() Member {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.self
}

// SetBootstrapped records that the cluster has its first etcd member.
func (v *View) SetBootstrapped() {
	v.mu.Lock()
	defer v.mu.Unlock()

	if !v.bootstrapped {
		v.bootstrapped = true
		v.wake()
	}
}

// Bootstrapped reports whether the cluster was bootstrapped.
func (v *View) Bootstrapped() bool {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.bootstrapped
}

// Members are all known ones, this node included, by host name.
func (v *View) Members() []Member {
	v.mu.Lock()
	defer v.mu.Unlock()

	list := make([]Member, 0, len(v.members))
	for _, m := range v.members {
		list = append(list, m)
	}

	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Hostname, b.Hostname) })

	return list
}

// ControlPlanes are the addresses of the known control planes but this node.
func (v *View) ControlPlanes() []netip.Addr {
	self := v.Self().Hostname

	var addrs []netip.Addr

	for _, m := range v.Members() {
		if m.ControlPlane && m.Hostname != self {
			addrs = append(addrs, m.Address)
		}
	}

	return addrs
}

// Say is what this node tells others now.
func (v *View) Say() Word {
	v.UpdateSelf(func(*Member) {})

	word := Word{Members: v.Members(), Bootstrapped: v.Bootstrapped()}

	v.mu.Lock()
	defer v.mu.Unlock()

	word.Cordons = maps.Clone(v.cordons)

	return word
}

// SetCordon records that a node is cordoned, or is no longer.
func (v *View) SetCordon(hostname string, on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()

	v.cordons[hostname] = Cordon{On: on, Stamp: time.Now().UnixNano()}
	v.wake()
}

// Cordoned tells whether a node is.
func (v *View) Cordoned(hostname string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()

	return v.cordons[hostname].On
}

// Hear merges what another node said.
func (v *View) Hear(w Word) {
	v.mu.Lock()
	defer v.mu.Unlock()

	moved := w.Bootstrapped && !v.bootstrapped
	v.bootstrapped = v.bootstrapped || w.Bootstrapped

	for _, m := range w.Members {
		old, known := v.members[m.Hostname]
		if m.Hostname == v.self.Hostname || m.Hostname == "" || (known && old.Stamp >= m.Stamp) {
			continue
		}

		v.members[m.Hostname] = m
		old.Stamp = m.Stamp
		moved = moved || !known || old != m
	}

	for name, c := range w.Cordons {
		if c.Stamp > v.cordons[name].Stamp {
			v.cordons[name] = c
			moved = true
		}
	}

	if moved {
		v.wake()
	}
}
