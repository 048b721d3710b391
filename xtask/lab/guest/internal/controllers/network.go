// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package controllers

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/node"
)

// linkStatus publishes what net.Interfaces tells of the links.
func linkStatus() *reconciler {
	return &reconciler{
		name: "network.LinkStatusController", outputs: exclusive(network.LinkStatusType), every: 10 * time.Second,
		sweeps: kind(network.NamespaceName, network.LinkStatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			links, err := net.Interfaces()
			if err != nil {
				return err
			}

			for _, l := range links {
				if err = safe.WriterModify(ctx, r, network.NewLinkStatus(network.NamespaceName, l.Name), func(s *network.LinkStatus) error {
					fillLink(s.TypedSpec(), l)

					return nil
				}); err != nil {
					return err
				}
			}

			return nil
		},
	}
}

func fillLink(spec *network.LinkStatusSpec, l net.Interface) {
	spec.Index, spec.MTU = uint32(l.Index), uint32(l.MTU)
	spec.HardwareAddr, spec.PermanentAddr = nethelpers.HardwareAddr(l.HardwareAddr), nethelpers.HardwareAddr(l.HardwareAddr)
	spec.Type = nethelpers.LinkEther
	spec.LinkState = l.Flags&net.FlagRunning != 0
	spec.OperationalState = nethelpers.OperStateDown

	if spec.LinkState {
		spec.OperationalState = nethelpers.OperStateUp
	}

	if l.Flags&net.FlagLoopback != 0 {
		spec.Type = nethelpers.LinkLoopbck
		spec.OperationalState = nethelpers.OperStateUnknown
	}

	var flags uint32

	for goFlag, kernelFlag := range map[net.Flags]uint32{
		net.FlagUp: unix.IFF_UP, net.FlagBroadcast: unix.IFF_BROADCAST, net.FlagLoopback: unix.IFF_LOOPBACK,
		net.FlagMulticast: unix.IFF_MULTICAST, net.FlagRunning: unix.IFF_RUNNING,
	} {
		if l.Flags&goFlag != 0 {
			flags |= kernelFlag
		}
	}

	spec.Flags = nethelpers.LinkFlags(flags)
}

// addressStatus publishes every address, and the node's own under the names that Talos gives them.
func addressStatus(n *node.Node) *reconciler {
	return &reconciler{
		name: "network.AddressStatusController", every: 10 * time.Second, wake: once(n.NetworkUp()),
		outputs: exclusive(network.AddressStatusType, network.NodeAddressType),
		sweeps:  kind(network.NamespaceName, network.AddressStatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			links, err := net.Interfaces()
			if err != nil {
				return err
			}

			for _, l := range links {
				addrs, err := l.Addrs()
				if err != nil {
					return err
				}

				for _, a := range addrs {
					prefix, err := netip.ParsePrefix(a.String())
					if err != nil {
						return err
					}

					if err = writeAddress(ctx, r, l, prefix); err != nil {
						return err
					}
				}
			}

			if n.Lease() != nil {
				for _, id := range []string{
					network.NodeAddressDefaultID, network.NodeAddressCurrentID, network.NodeAddressRoutedID, network.NodeAddressAccumulativeID,
				} {
					if err = safe.WriterModify(ctx, r, network.NewNodeAddress(network.NamespaceName, id), func(s *network.NodeAddress) error {
						s.TypedSpec().Addresses = []netip.Prefix{n.Lease().Address}

						return nil
					}); err != nil {
						return err
					}
				}
			}

			return nil
		},
	}
}

func writeAddress(ctx context.Context, r controller.Runtime, l net.Interface, prefix netip.Prefix) error {
	res := network.NewAddressStatus(network.NamespaceName, l.Name+"/"+prefix.String())

	return safe.WriterModify(ctx, r, res, func(s *network.AddressStatus) error {
		spec := s.TypedSpec()
		spec.Address, spec.Local = prefix, prefix.Addr()
		spec.LinkIndex, spec.LinkName = uint32(l.Index), l.Name
		spec.Family, spec.Scope = nethelpers.FamilyInet4, nethelpers.ScopeGlobal

		if prefix.Addr().Is6() {
			spec.Family = nethelpers.FamilyInet6
		}

		switch {
		case prefix.Addr().IsLoopback():
			spec.Scope = nethelpers.ScopeHost
		case prefix.Addr().IsLinkLocalUnicast():
			spec.Scope = nethelpers.ScopeLink
		}

		return nil
	})
}

// networkStatus says what readiness waits for, and what DHCP gave.
func networkStatus(n *node.Node) *reconciler {
	return &reconciler{
		name: "network.StatusController", every: 10 * time.Second, wake: once(n.NetworkUp()),
		outputs: exclusive(network.StatusType, network.HostnameStatusType, network.ResolverStatusType),
		do: func(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
			lease := n.Lease()
			if lease == nil {
				return nil
			}

			if err := safe.WriterModify(ctx, r, network.NewHostnameStatus(network.NamespaceName, network.HostnameID), func(s *network.HostnameStatus) error {
				*s.TypedSpec() = network.HostnameStatusSpec{Hostname: n.Hostname(), Domainname: lease.Domain}

				return nil
			}); err != nil {
				return err
			}

			if err := safe.WriterModify(ctx, r, network.NewResolverStatus(network.NamespaceName, network.ResolverID), func(s *network.ResolverStatus) error {
				s.TypedSpec().DNSServers = lease.DNS

				return nil
			}); err != nil {
				return err
			}

			return safe.WriterModify(ctx, r, network.NewStatus(network.NamespaceName, network.StatusID), func(s *network.Status) error {
				*s.TypedSpec() = network.StatusSpec{
					AddressReady: true, ConnectivityReady: true, HostnameReady: n.Hostname() != "", EtcFilesReady: node.ReadLine("/etc/hosts") != "",
				}

				return nil
			})
		},
	}
}
