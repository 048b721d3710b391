// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package peers_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"lab.invalid/guest/internal/peers"
)

func view(name string, controlPlane bool, last byte) *peers.View {
	v := peers.NewView()
	v.UpdateSelf(func(m *peers.Member) {
		m.Hostname, m.ControlPlane, m.Address = name, controlPlane, netip.AddrFrom4([4]byte{172, 20, 0, last})
	})

	return v
}

func TestHear(t *testing.T) {
	a, b := view("a", true, 2), view("b", false, 3)

	changed := b.Changed()

	a.SetBootstrapped()
	b.Hear(a.Say())

	select {
	case <-changed:
	default:
		t.Error("news did not wake anybody")
	}

	if !b.Bootstrapped() || len(b.Members()) != 2 || len(b.ControlPlanes()) != 1 || b.ControlPlanes()[0] != a.Self().Address {
		t.Errorf("b knows %+v", b.Members())
	}

	// What others say about this node itself does not count.
	lie := a.Say()
	lie.Members = []peers.Member{{Hostname: "b", ControlPlane: true, Stamp: time.Now().Add(time.Hour).UnixNano()}}
	b.Hear(lie)

	if b.Self().ControlPlane || b.Members()[1].ControlPlane {
		t.Error("b believes others about itself")
	}

	quiet := b.Changed()
	b.Hear(a.Say())

	select {
	case <-quiet:
		t.Error("a mere restamp woke a waiter")
	default:
	}
}

func TestTheNewestWordCounts(t *testing.T) {
	a, b := view("a", true, 2), view("b", true, 3)

	old := a.Say()
	a.UpdateSelf(func(m *peers.Member) { m.EtcdJoined = true })
	b.Hear(a.Say())
	b.Hear(old)

	if !b.Members()[0].EtcdJoined {
		t.Error("an old word undid a newer one")
	}
}

func TestCordons(t *testing.T) {
	a, b := view("a", true, 2), view("b", true, 3)

	a.SetCordon("b", true)
	b.Hear(a.Say())

	if !b.Cordoned("b") {
		t.Error("b has not heard that it is cordoned")
	}

	b.SetCordon("b", false)
	b.Hear(a.Say())
	a.Hear(b.Say())

	if a.Cordoned("b") || b.Cordoned("b") {
		t.Error("the older cordon won")
	}
}

func TestFresh(t *testing.T) {
	m := peers.Member{Stamp: time.Now().Add(-time.Minute).UnixNano()}
	if m.Fresh() || !view("a", true, 2).Self().Fresh() {
		t.Error("freshness is wrong")
	}
}

func TestOnlyNodesOfTheClusterAreHeard(t *testing.T) {
	a, b := view("a", true, 2), view("b", false, 3)
	server := httptest.NewServer(&peers.Gossip{View: a, Token: "secret"})

	defer server.Close()

	body, err := json.Marshal(b.Say())
	if err != nil {
		t.Fatal(err)
	}

	resp, err := http.Post(server.URL, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	resp.Body.Close() //nolint:errcheck

	if resp.StatusCode != http.StatusUnauthorized || len(a.Members()) != 1 {
		t.Errorf("without the token: %s, %d members", resp.Status, len(a.Members()))
	}
}
