// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/cluster"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"lab.invalid/guest/internal/kube"
	"lab.invalid/guest/internal/node"
)

// health runs the checks of `talosctl health` on the node (internal/app/machined/internal/server/v1alpha1/v1alpha1_cluster.go):
// those that mean something without a Kubernetes, under Talos' names.
type health struct {
	cluster.UnimplementedClusterServiceServer

	n *node.Node
}

const defaultHealthWait = 5 * time.Minute

// HealthCheck streams a line per change and ends with the first check that does not pass in time.
func (h *health) HealthCheck(in *cluster.HealthCheckRequest, stream grpc.ServerStreamingServer[cluster.HealthCheckProgress]) error {
	wait := in.GetWaitTimeout().AsDuration()
	if wait <= 0 {
		wait = defaultHealthWait
	}

	ctx, cancel := context.WithTimeout(stream.Context(), wait)
	defer cancel()

	say := func(format string, args ...any) error {
		return stream.Send(&cluster.HealthCheckProgress{Message: fmt.Sprintf(format, args...)})
	}

	if err := say("lab stand-in: these are the checks that mean something without a Kubernetes"); err != nil {
		return err
	}

	for _, check := range h.checks(in.GetClusterInfo()) {
		last := ""

		for {
			reason := check.f(ctx)
			if reason == "" {
				reason = "OK"
			}

			if reason != last {
				last = reason
				if err := say("waiting for %s: %s", check.name, reason); err != nil {
					return err
				}
			}

			if reason == "OK" {
				break
			}

			select {
			case <-ctx.Done():
				return status.Errorf(codes.DeadlineExceeded, "waiting for %s: %s", check.name, reason)
			case <-time.After(500 * time.Millisecond):
			}
		}
	}

	return nil
}

type healthCheck struct {
	name string
	f    func(context.Context) string
}

func (h *health) checks(info *cluster.ClusterInfo) []healthCheck {
	return []healthCheck{
		{"discovered nodes to match the given ones", func(context.Context) string { return h.known(info) }},
		{"etcd to be healthy", h.etcd},
		{"apid to be ready", h.apid},
		{"all k8s nodes to report ready", h.ready},
	}
}

func (h *health) known(info *cluster.ClusterInfo) string {
	have := map[string]bool{}
	for _, m := range h.n.Peers.Members() {
		have[m.Address.String()] = true
	}

	var missing []string

	for _, addr := range append(info.GetControlPlaneNodes(), info.GetWorkerNodes()...) {
		if !have[addr] {
			missing = append(missing, addr)
		}
	}

	if len(missing) > 0 {
		return "not found: " + strings.Join(missing, ", ")
	}

	return ""
}

func (h *health) etcd(context.Context) string {
	var waiting []string

	for _, m := range h.n.Peers.Members() {
		if m.ControlPlane && !m.EtcdJoined {
			waiting = append(waiting, m.Hostname)
		}
	}

	if len(waiting) > 0 || len(kube.EtcdMembers(h.n.Peers)) == 0 {
		return "not joined: " + strings.Join(waiting, ", ")
	}

	return ""
}

func (h *health) apid(ctx context.Context) string {
	for _, m := range h.n.Peers.Members() {
		dialer := net.Dialer{Timeout: 2 * time.Second}

		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(m.Address.String(), "50000"))
		if err != nil {
			return err.Error()
		}

		conn.Close() //nolint:errcheck
	}

	return ""
}

func (h *health) ready(context.Context) string {
	var waiting []string

	for _, m := range h.n.Peers.Members() {
		if !kube.NodeReady(m) {
			waiting = append(waiting, m.Hostname)
		}
	}

	if len(waiting) > 0 {
		return "not ready: " + strings.Join(waiting, ", ")
	}

	return ""
}
