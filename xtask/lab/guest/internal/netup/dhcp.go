// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package netup brings the node's network up: finds the link, asks DHCP, sets address, route, MTU, host name and resolver.
//
// It must not keep a lease alive: the lab's DHCP server gives the same answer for as long as the machine exists.
package netup

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Lease is what DHCP said.
type Lease struct {
	Address  netip.Prefix
	Gateway  netip.Addr
	DNS      []netip.Addr
	Hostname string
	Domain   string
	MTU      int
}

// DHCP message types and options (RFC 2131, 2132).
const (
	discover, offer, request, ack = 1, 2, 3, 5

	optMask, optRouter, optDNS, optHostname, optDomain, optMTU      = 1, 3, 6, 12, 15, 26
	optRequested, optType, optServer, optParameters, optPad, optEnd = 50, 53, 54, 55, 0, 255
)

var cookie = []byte{99, 130, 83, 99}

// askDHCP runs DISCOVER, OFFER, REQUEST, ACK. The interface has no address yet, hence a packet socket.
func askDHCP(ctx context.Context, link *net.Interface) (*Lease, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_IP)))
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck

	if err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: link.Index}); err != nil {
		return nil, err
	}

	timeout := unix.Timeval{Usec: 500_000}
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, err
	}

	id := make([]byte, 4)
	rand.Read(id) //nolint:errcheck

	d := dialog{fd: fd, link: link, id: id}

	offered, err := d.exchange(ctx, newMessage(discover, id, link.HardwareAddr, nil), offer)
	if err != nil {
		return nil, err
	}

	acked, err := d.exchange(ctx, newMessage(request, id, link.HardwareAddr, map[byte][]byte{
		optRequested: offered.yours, optServer: offered.options[optServer],
	}), ack)
	if err != nil {
		return nil, err
	}

	return acked.lease()
}

type dialog struct {
	fd   int
	link *net.Interface
	id   []byte
}

// exchange sends until the wanted kind of answer comes or ctx ends.
func (d dialog) exchange(ctx context.Context, msg []byte, want byte) (*message, error) {
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: d.link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	packet := wrapUDP(msg)
	buf := make([]byte, 2048)

	for ctx.Err() == nil {
		// ENETDOWN while the link comes up is a reason to try again, not to give up.
		unix.Sendto(d.fd, packet, 0, to) //nolint:errcheck

		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline) && ctx.Err() == nil; {
			n, _, err := unix.Recvfrom(d.fd, buf, 0)
			if err != nil {
				break
			}

			if m := parse(buf[:n], d.id); m != nil && m.kind() == want {
				return m, nil
			}
		}
	}

	return nil, fmt.Errorf("no answer from DHCP on %s: %w", d.link.Name, ctx.Err())
}

func newMessage(kind byte, id []byte, mac net.HardwareAddr, extra map[byte][]byte) []byte {
	m := make([]byte, 236, 300)
	m[0], m[1], m[2] = 1, 1, 6 // request, Ethernet, address length
	copy(m[4:8], id)
	m[10] = 0x80 // answers as broadcast: nothing here has an address yet
	copy(m[28:], mac)
	m = append(m, cookie...)
	m = append(m, optType, 1, kind)

	for _, opt := range []byte{optRequested, optServer} {
		if value := extra[opt]; len(value) > 0 {
			m = append(m, opt, byte(len(value)))
			m = append(m, value...)
		}
	}

	return append(m, optParameters, 6, optMask, optRouter, optDNS, optHostname, optDomain, optMTU, optEnd)
}

// wrapUDP puts IPv4 and UDP headers on, 0.0.0.0:68 to 255.255.255.255:67. A UDP checksum of zero means none.
func wrapUDP(payload []byte) []byte {
	p := make([]byte, 28, 28+len(payload))
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(payload)))
	copy(p[16:20], []byte{255, 255, 255, 255})

	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}

	binary.BigEndian.PutUint16(p[10:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint16(p[20:], 68)
	binary.BigEndian.PutUint16(p[22:], 67)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(payload)))

	return append(p, payload...)
}

type message struct {
	yours   []byte
	options map[byte][]byte
}

// parse takes an IPv4 packet apart; nil if it is not a DHCP answer to us.
func parse(p, id []byte) *message {
	if len(p) < 20 || p[0]>>4 != 4 || p[9] != 17 {
		return nil
	}

	udp := p[min(int(p[0]&15)*4, len(p)):]
	if len(udp) < 8+240 || binary.BigEndian.Uint16(udp[2:]) != 68 {
		return nil
	}

	b := udp[8:]
	if b[0] != 2 || string(b[4:8]) != string(id) || string(b[236:240]) != string(cookie) {
		return nil
	}

	m := &message{yours: append([]byte(nil), b[16:20]...), options: map[byte][]byte{}}

	for o := b[240:]; len(o) > 0 && o[0] != optEnd; {
		if o[0] == optPad {
			o = o[1:]

			continue
		}

		if len(o) < 2 || len(o) < 2+int(o[1]) {
			break
		}

		m.options[o[0]] = append([]byte(nil), o[2:2+int(o[1])]...)
		o = o[2+int(o[1]):]
	}

	return m
}

func (m *message) kind() byte {
	if v := m.options[optType]; len(v) == 1 {
		return v[0]
	}

	return 0
}

func (m *message) lease() (*Lease, error) {
	mask := m.options[optMask]
	if len(mask) != 4 {
		return nil, errors.New("the DHCP answer has no subnet mask")
	}

	ones, _ := net.IPMask(mask).Size()
	addr, _ := netip.AddrFromSlice(m.yours)
	l := &Lease{Address: netip.PrefixFrom(addr, ones), Hostname: string(m.options[optHostname]), Domain: string(m.options[optDomain])}

	if router := m.options[optRouter]; len(router) >= 4 {
		l.Gateway, _ = netip.AddrFromSlice(router[:4])
	}

	for dns := m.options[optDNS]; len(dns) >= 4; dns = dns[4:] {
		a, _ := netip.AddrFromSlice(dns[:4])
		l.DNS = append(l.DNS, a)
	}

	if mtu := m.options[optMTU]; len(mtu) == 2 {
		l.MTU = int(binary.BigEndian.Uint16(mtu))
	}

	return l, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
