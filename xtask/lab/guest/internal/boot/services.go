// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"golang.org/x/sys/unix"

	"lab.invalid/guest/internal/apid"
	"lab.invalid/guest/internal/kube"
	"lab.invalid/guest/internal/machined"
	"lab.invalid/guest/internal/peers"
	"lab.invalid/guest/internal/pki"
	"lab.invalid/guest/internal/proc"
	"lab.invalid/guest/internal/services"
	"lab.invalid/guest/internal/store"
	"lab.invalid/guest/internal/trustd"
)

// loadServices registers every service that exists here. What Talos has and this has not (containerd, udevd, …) is not listed.
func (m *Machine) loadServices() {
	m.Services.Load(
		services.Service{ID: "machined", Run: m.runMachined, Health: dialHealth("unix", constants.MachineSocketPath)},
		services.Service{ID: "auditd", Run: m.runAuditd},
		services.Service{
			ID: "apid", Run: m.runAPID, API: true,
			Health: dialHealth("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(constants.ApidPort))),
		},
		services.Service{ID: "kubelet", Run: m.runKubelet, API: true, Health: m.kubeletHealth},
	)
}

// loadControlPlaneServices is called once the config says what this node is.
func (m *Machine) loadControlPlaneServices() {
	m.Services.Load(
		services.Service{
			ID: "trustd", Run: m.runTrustd, API: true,
			Health: dialHealth("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(constants.TrustdPort))),
		},
		services.Service{ID: "etcd", Run: m.runEtcd, Health: func(context.Context) error { return nil }},
	)
}

func dialHealth(network, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer

		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return err
		}

		return conn.Close()
	}
}

func (m *Machine) runMachined(ctx context.Context, up func(string)) error {
	return machined.Run(ctx, m.Node, func() { up("Service started as goroutine") })
}

// runSelf runs this program again under another name, as Talos does with the same three (argv[0] decides). Settings go to its
// stdin, its output to the service's log.
func (m *Machine) runSelf(ctx context.Context, name string, settings any, up func(string)) error {
	in, input, err := os.Pipe()
	if err != nil {
		return err
	}
	defer input.Close() //nolint:errcheck

	output, out, err := os.Pipe()
	if err != nil {
		in.Close() //nolint:errcheck

		return err
	}
	defer output.Close() //nolint:errcheck

	child, err := proc.Start("/init", []string{name}, os.Environ(), []*os.File{in, out, out})
	in.Close()  //nolint:errcheck
	out.Close() //nolint:errcheck

	if err != nil {
		return err
	}

	go copyLines(m.Logs.Open(name), output)

	if err = json.NewEncoder(input).Encode(settings); err != nil {
		child.Signal(unix.SIGKILL) //nolint:errcheck
		child.Wait()               //nolint:errcheck

		return err
	}

	input.Close() //nolint:errcheck
	up(fmt.Sprintf("Started task %s (PID %d) for container %s", name, child.PID, name))

	done := make(chan error, 1)
	go func() { done <- child.Wait() }()

	select {
	case err = <-done:
		return err
	case <-ctx.Done():
	}

	child.Signal(unix.SIGTERM) //nolint:errcheck

	select {
	case err = <-done:
	case <-time.After(3 * time.Second):
		child.Signal(unix.SIGKILL) //nolint:errcheck

		err = <-done
	}

	return err
}

func copyLines(to io.Writer, from io.Reader) {
	for scanner := bufio.NewScanner(from); scanner.Scan(); {
		fmt.Fprintln(to, scanner.Text())
	}
}

// names and addresses that a client may know this node by.
func (m *Machine) request() pki.Request {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})

	return pki.Request{
		CommonName: m.Hostname(), IPs: []netip.Addr{m.Address(), loopback}, Names: []string{m.Hostname(), "localhost"}, Usage: trustd.ServerUsage,
	}
}

func (m *Machine) runAPID(ctx context.Context, up func(string)) error {
	request := m.request()

	for _, san := range m.Config().Machine().Security().CertSANs() {
		if ip, err := netip.ParseAddr(san); err == nil {
			request.IPs = append(request.IPs, ip)
		} else {
			request.Names = append(request.Names, san)
		}
	}

	settings := apid.Settings{CA: m.ca.CertPEM, Local: request.IPs, Names: request.Names}

	var err error

	if m.ControlPlane() {
		if settings.Server, err = m.ca.Issue(request); err != nil {
			return err
		}

		client, err := m.ca.Issue(pki.Request{Organization: []string{string(role.Impersonator)}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			return err
		}

		settings.Client = &client
	} else if settings.Server, err = m.workerCertificate(ctx, request); err != nil {
		return err
	}

	return m.runSelf(ctx, "apid", settings, up)
}

// workerCertificate asks the control planes, until one answers.
func (m *Machine) workerCertificate(ctx context.Context, request pki.Request) (pki.Pair, error) {
	for {
		changed := m.Peers.Changed()

		for _, addr := range m.Peers.ControlPlanes() {
			if pair, err := trustd.Fetch(ctx, addr, m.ca, m.Config().Machine().Security().Token(), request); err == nil {
				return pair, nil
			}
		}

		select {
		case <-ctx.Done():
			return pki.Pair{}, ctx.Err()
		case <-changed:
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (m *Machine) runTrustd(ctx context.Context, up func(string)) error {
	server, err := m.ca.Issue(m.request())
	if err != nil {
		return err
	}

	issuer := m.Config().Machine().Security().IssuingCA()

	return m.runSelf(ctx, "trustd", trustd.Settings{
		CA: issuer.Crt, CAKey: issuer.Key, Server: server, Token: m.Config().Machine().Security().Token(),
	}, up)
}

// runEtcd stands in for etcd: it joins once the cluster has been bootstrapped, by any client; a node of type init does that itself.
func (m *Machine) runEtcd(ctx context.Context, up func(string)) error {
	if m.Config().Machine().Type() == machine.TypeInit {
		m.Peers.SetBootstrapped()
	}

	for !m.Peers.Bootstrapped() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.Peers.Changed():
		case <-time.After(time.Second):
		}
	}

	if err := m.store.Update(func(r *store.Record) { r.Bootstrapped = true }); err != nil {
		return err
	}

	m.Peers.UpdateSelf(func(p *peers.Member) { p.EtcdJoined = true })
	fmt.Fprintf(m.Logs.Open("etcd"), "lab stand-in: there is no etcd; %s is a member\n", m.Hostname())
	up("Started task etcd: lab stand-in")
	<-ctx.Done()

	return nil
}

// runKubelet stands in for the kubelet and, on a control plane, for the API server; and tells other nodes about this one.
func (m *Machine) runKubelet(ctx context.Context, up func(string)) error {
	out := m.Logs.Open("kubelet")
	issuer := m.Config().Cluster().IssuingCA()

	ca, err := pki.NewAuthority(issuer.Crt, issuer.Key)
	if err != nil {
		return fmt.Errorf("cluster.ca: %w", err)
	}

	gossip := &peers.Gossip{View: m.Peers, CA: ca, Endpoint: m.Config().Cluster().Endpoint(), Token: m.Config().Machine().Security().Token(), Port: kube.Port}

	failed := make(chan error, 1)

	if m.ControlPlane() {
		request := m.request()

		if ip, err := netip.ParseAddr(gossip.Endpoint.Hostname()); err == nil {
			request.IPs = append(request.IPs, ip)
		} else {
			request.Names = append(request.Names, gossip.Endpoint.Hostname())
		}

		cert, err := ca.Issue(request)
		if err != nil {
			return err
		}

		server := &kube.Server{CA: ca, View: m.Peers, Gossip: gossip, Log: m.Logs.Open("kube-apiserver")}
		go func() { failed <- server.Run(ctx, cert) }()
	}

	go gossip.Run(ctx)

	m.Peers.UpdateSelf(func(p *peers.Member) { p.KubeletUp = true })
	fmt.Fprintf(out, "lab stand-in: there is no kubelet and there are no containers; %s is known to the other nodes\n", m.Hostname())
	up("Started task kubelet: lab stand-in")

	defer m.Peers.UpdateSelf(func(p *peers.Member) { p.KubeletUp = false })

	select {
	case err = <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (m *Machine) kubeletHealth(context.Context) error {
	if !m.Peers.Self().KubeletUp {
		return errors.New("not started")
	}

	return nil
}
