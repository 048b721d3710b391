// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kube

import (
	"crypto/sha256"
	"encoding/binary"

	"lab.invalid/guest/internal/peers"
)

// EtcdID is the member id of a control plane. Every node derives the same one from the node's identity.
func EtcdID(m peers.Member) uint64 {
	sum := sha256.Sum256([]byte("etcd " + m.NodeID))

	return binary.BigEndian.Uint64(sum[:])
}

// EtcdMembers are the control planes that have joined.
func EtcdMembers(v *peers.View) []peers.Member {
	var joined []peers.Member

	for _, m := range v.Members() {
		if m.ControlPlane && m.EtcdJoined {
			joined = append(joined, m)
		}
	}

	return joined
}
