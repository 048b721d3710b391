// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package netup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// loopback is the index of the loopback link, always.
const loopback = 1

// Up does all of it, and says which link has what.
func Up(ctx context.Context) (*net.Interface, *Lease, error) {
	link, err := waitLink(ctx)
	if err != nil {
		return nil, nil, err
	}

	if err = setUp(loopback, link.Index); err != nil {
		return nil, nil, err
	}

	lease, err := askDHCP(ctx, link)
	if err != nil {
		return nil, nil, err
	}

	if lease.Hostname == "" {
		// As Talos without a name from anywhere: something stable that differs from node to node.
		sum := sha256.Sum256(link.HardwareAddr)
		lease.Hostname = "talos-" + hex.EncodeToString(sum[:3])
	}

	return link, lease, apply(link, lease)
}

// waitLink waits for the first Ethernet link to appear.
func waitLink(ctx context.Context) (*net.Interface, error) {
	for {
		links, err := net.Interfaces()
		if err != nil {
			return nil, err
		}

		for _, l := range links {
			if l.Flags&net.FlagLoopback == 0 && len(l.HardwareAddr) == 6 {
				return &l, nil
			}
		}

		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no network link: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// setUp sets links up by their index.
func setUp(indices ...int) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck

	for _, index := range indices {
		if err = conn.Link.Set(&rtnetlink.LinkMessage{Index: uint32(index), Flags: unix.IFF_UP, Change: unix.IFF_UP}); err != nil {
			return fmt.Errorf("cannot set link %d up: %w", index, err)
		}
	}

	return nil
}

// apply sets what the lease says.
func apply(link *net.Interface, lease *Lease) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck

	index := uint32(link.Index)

	if lease.MTU > 0 {
		err = conn.Link.Set(&rtnetlink.LinkMessage{Index: index, Attributes: &rtnetlink.LinkAttributes{MTU: uint32(lease.MTU)}})
		if err != nil {
			return fmt.Errorf("cannot set MTU %d: %w", lease.MTU, err)
		}
	}

	ip := lease.Address.Addr().AsSlice()

	err = conn.Address.New(&rtnetlink.AddressMessage{
		Family: unix.AF_INET, PrefixLength: uint8(lease.Address.Bits()), Index: index,
		Attributes: &rtnetlink.AddressAttributes{Address: ip, Local: ip},
	})
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cannot set address %s: %w", lease.Address, err)
	}

	if lease.Gateway.IsValid() {
		err = conn.Route.Replace(&rtnetlink.RouteMessage{
			Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_DHCP, Type: unix.RTN_UNICAST,
			Scope:      unix.RT_SCOPE_UNIVERSE,
			Attributes: rtnetlink.RouteAttributes{Gateway: lease.Gateway.AsSlice(), OutIface: index},
		})
		if err != nil {
			return fmt.Errorf("cannot set the default route: %w", err)
		}
	}

	return writeFiles(lease)
}

const resolver, hosts, hostname = "/etc/resolv.conf", "/etc/hosts", "/etc/hostname"

// Files are written when the network is up.
var Files = []string{resolver, hosts, hostname}

// writeFiles sets host name, resolver and hosts file.
func writeFiles(lease *Lease) error {
	if lease.Hostname != "" {
		if err := unix.Sethostname([]byte(lease.Hostname)); err != nil {
			return err
		}
	}

	var resolv bytes.Buffer

	for _, dns := range lease.DNS {
		fmt.Fprintf(&resolv, "nameserver %s\n", dns)
	}

	if lease.Domain != "" {
		fmt.Fprintf(&resolv, "\nsearch %s\n", lease.Domain)
	}

	names := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", lease.Address.Addr(), strings.TrimSpace(lease.Hostname))

	for path, content := range map[string]string{
		resolver: resolv.String(), hosts: names, hostname: lease.Hostname + "\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}

	return nil
}
