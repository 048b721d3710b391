// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package netup

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

var (
	mac = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	id  = []byte{1, 2, 3, 4}
)

// answer is what a server sends: our message turned round, with options.
func answer(kind byte, options ...[]byte) []byte {
	m := newMessage(kind, id, mac, nil)[:240]
	m[0] = 2
	copy(m[16:], []byte{172, 20, 0, 2})
	m = append(m, optType, 1, kind, optPad)

	for _, o := range options {
		m = append(m, o...)
	}

	p := wrapUDP(append(m, optEnd))
	binary.BigEndian.PutUint16(p[22:], 68)

	return p
}

func TestLease(t *testing.T) {
	m := parse(answer(ack, []byte{optMask, 4, 255, 255, 255, 0}, []byte{optRouter, 4, 172, 20, 0, 1}, []byte{optDNS, 8, 1, 1, 1, 1, 8, 8, 8, 8},
		[]byte{optHostname, 2, 'c', 'p'}, []byte{optMTU, 2, 5, 120}), id)
	if m == nil || m.kind() != ack {
		t.Fatal("the answer was not read")
	}

	lease, err := m.lease()
	if err != nil {
		t.Fatal(err)
	}

	if lease.Address != netip.MustParsePrefix("172.20.0.2/24") || lease.Gateway != netip.MustParseAddr("172.20.0.1") || lease.Hostname != "cp" ||
		lease.MTU != 1400 || len(lease.DNS) != 2 || lease.DNS[1] != netip.MustParseAddr("8.8.8.8") {
		t.Fatalf("%+v", lease)
	}
}

func TestForeignPacketsAreIgnored(t *testing.T) {
	good := answer(offer, []byte{optMask, 4, 255, 255, 255, 0})

	for name, change := range map[string]func(p []byte){
		"another transaction": func(p []byte) { p[28+4]++ },
		"a request":           func(p []byte) { p[28] = 1 },
		"another port":        func(p []byte) { p[23]++ },
		"TCP":                 func(p []byte) { p[9] = 6 },
		"IPv6":                func(p []byte) { p[0] = 0x60 },
		"no cookie":           func(p []byte) { p[28+236]++ },
	} {
		p := bytes.Clone(good)
		change(p)

		if parse(p, id) != nil {
			t.Errorf("%s was taken for an answer", name)
		}
	}

	if parse(good, id) == nil {
		t.Error("the unchanged one was not")
	}
}

func TestNoPacketBreaksTheParser(t *testing.T) {
	good := answer(offer, []byte{optMask, 4, 255, 255, 255, 0})

	for range 20000 {
		p := bytes.Clone(good)[:rand.IntN(len(good)+1)]
		for range 3 {
			if len(p) > 0 {
				p[rand.IntN(len(p))] = byte(rand.Uint32())
			}
		}

		if m := parse(p, id); m != nil {
			m.lease() //nolint:errcheck // must not panic
		}
	}
}

func TestHeaderChecksum(t *testing.T) {
	p := wrapUDP(newMessage(discover, id, mac, nil))

	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}

	if uint16(sum+sum>>16) != 0xffff {
		t.Errorf("the checksum does not add up: %x", sum)
	}
}
