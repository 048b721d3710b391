// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

// Package kube is the stand-in for Kubernetes: the few answers that talosctl asks a cluster for, made from what the nodes say
// about themselves. There is no scheduler, no container and no pod behind it, and every free text in its answers says so.
//
// It must not grow towards a Kubernetes: what it does not know is answered with 404.
package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"lab.invalid/guest/internal/peers"
	"lab.invalid/guest/internal/pki"
)

// Port of kube-apiserver.
const Port = 6443

// StaticPods are what a control plane runs besides etcd.
var StaticPods = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Server answers on a control plane.
type Server struct {
	CA     *pki.Authority
	View   *peers.View
	Gossip http.Handler
	Log    io.Writer
}

type object = map[string]any

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context, cert pki.Pair) error {
	pair, err := cert.TLS()
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("POST "+peers.Path, s.Gossip)
	mux.HandleFunc("/", s.answer)

	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(s.Log, "", log.LstdFlags),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: s.CA.Pool(),
			MinVersion: tls.VersionTLS12,
		},
	}

	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", Port))
	if err != nil {
		return err
	}

	go func() {
		<-ctx.Done()
		server.Close() //nolint:errcheck
	}()

	return server.ServeTLS(listener, "", "")
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")

	if path == "/healthz" || path == "/livez" || path == "/readyz" {
		fmt.Fprint(w, "ok")

		return
	}

	reply := s.reply(path, r)

	w.Header().Set("Content-Type", "application/json")

	if code, ok := reply["code"].(int); ok {
		w.WriteHeader(code)
	}

	json.NewEncoder(w).Encode(reply) //nolint:errcheck
}

const (
	nodesPath = "/api/v1/nodes"
	appsPath  = "/apis/apps/v1/namespaces/kube-system/"
)

func (s *Server) reply(path string, r *http.Request) object {
	name, isNode := strings.CutPrefix(path, nodesPath+"/")

	switch {
	case len(r.TLS.PeerCertificates) == 0:
		return failure(http.StatusUnauthorized, "Unauthorized", "Unauthorized")
	case !s.View.Bootstrapped():
		return failure(http.StatusServiceUnavailable, "ServiceUnavailable", "the cluster is not bootstrapped")
	case isNode && r.Method == http.MethodPatch:
		return s.patchNode(name, r)
	case r.Method != http.MethodGet:
		return failure(http.StatusMethodNotAllowed, "MethodNotAllowed", "the lab's Kubernetes stand-in knows no such change")
	case isNode:
		return s.node(name)
	case path == nodesPath:
		return list("v1", "NodeList", s.nodes())
	case path == "/api/v1/namespaces/kube-system/pods" || path == "/api/v1/pods":
		return list("v1", "PodList", selected(s.pods(r.URL.Query().Get("fieldSelector")), r.URL.Query().Get("labelSelector")))
	case path == appsPath+"daemonsets":
		return list("apps/v1", "DaemonSetList", nil)
	case path == appsPath+"deployments":
		return list("apps/v1", "DeploymentList", nil)
	}

	return failure(http.StatusNotFound, "NotFound", "the lab's Kubernetes stand-in has no "+path)
}

func (s *Server) node(name string) object {
	for _, item := range s.nodes() {
		if item["metadata"].(object)["name"] == name {
			item["kind"], item["apiVersion"] = "Node", "v1"

			return item
		}
	}

	return failure(http.StatusNotFound, "NotFound", fmt.Sprintf("nodes %q not found", name))
}

// patchNode knows the one change that a drain makes.
func (s *Server) patchNode(name string, r *http.Request) object {
	var patch struct {
		Spec struct {
			Unschedulable *bool `json:"unschedulable"`
		} `json:"spec"`
	}

	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&patch); err != nil {
		return failure(http.StatusBadRequest, "BadRequest", err.Error())
	}

	if s.node(name)["kind"] == "Node" {
		// Uncordoning sends null, which is the same as false.
		s.View.SetCordon(name, patch.Spec.Unschedulable != nil && *patch.Spec.Unschedulable)
	}

	return s.node(name)
}

func failure(code int, reason, message string) object {
	return object{
		"kind": "Status", "apiVersion": "v1", "metadata": object{}, "status": "Failure", "message": message, "reason": reason, "code": code,
	}
}

func list(version, kind string, items []object) object {
	if items == nil {
		items = []object{}
	}

	return object{"kind": kind, "apiVersion": version, "metadata": object{"resourceVersion": "1"}, "items": items}
}

// selected applies a label selector of equalities, the only kind that talosctl sends.
func selected(items []object, selector string) []object {
	var out []object

	for _, item := range items {
		labels := item["metadata"].(object)["labels"].(map[string]string)
		ok := true

		for _, term := range strings.Split(selector, ",") {
			key, value, found := strings.Cut(strings.ReplaceAll(term, "==", "="), "=")
			if strings.TrimSpace(term) != "" {
				ok = ok && found && labels[strings.TrimSpace(key)] == strings.TrimSpace(value)
			}
		}

		if ok {
			out = append(out, item)
		}
	}

	return out
}

func condition(kind string, ok bool, reason, message string) object {
	value := "False"
	if ok {
		value = "True"
	}

	return object{"type": kind, "status": value, "reason": reason, "message": message}
}

// NodeReady is what both the node list and the node's own readiness check go by.
func NodeReady(m peers.Member) bool { return m.KubeletUp && m.Fresh() }

// NodeLabels are what a kubelet would set.
func NodeLabels(m peers.Member) map[string]string {
	labels := map[string]string{
		"kubernetes.io/hostname": m.Hostname, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "lab.invalid/stand-in": "true",
	}
	if m.ControlPlane {
		labels["node-role.kubernetes.io/control-plane"] = ""
	}

	return labels
}

func (s *Server) nodes() []object {
	var items []object

	for _, m := range s.View.Members() {
		if m.BootID == "" {
			continue
		}

		items = append(items, object{
			"metadata": object{"name": m.Hostname, "uid": m.NodeID, "labels": NodeLabels(m)},
			"spec":     object{"unschedulable": s.View.Cordoned(m.Hostname)},
			"status": object{
				"addresses": []object{
					{"type": "InternalIP", "address": m.Address.String()}, {"type": "Hostname", "address": m.Hostname},
				},
				"conditions": []object{condition("Ready", NodeReady(m), "LabStandIn", "lab stand-in: there is no kubelet, the node is alive")},
				"nodeInfo": object{
					"osImage": m.OS, "kernelVersion": m.Kernel, "kubeletVersion": m.Kubelet, "operatingSystem": "linux", "architecture": "amd64",
					"containerRuntimeVersion": "none://lab-stand-in", "bootID": m.BootID, "machineID": m.MachineID, "systemUUID": m.MachineID,
				},
			},
		})
	}

	return items
}

// pods of all control planes or, by the only field selector that talosctl sends, of one node.
func (s *Server) pods(fieldSelector string) []object {
	var items []object

	of, one := strings.CutPrefix(fieldSelector, "spec.nodeName=")

	for _, m := range s.View.Members() {
		if !m.ControlPlane || !m.EtcdJoined || (one && of != m.Hostname) {
			continue
		}

		for _, name := range StaticPods {
			items = append(items, object{
				"metadata": object{
					"name": name + "-" + m.Hostname, "namespace": "kube-system", "labels": map[string]string{"k8s-app": name, "tier": "control-plane"},
					// A static pod's mirror: a drain leaves it alone.
					"annotations": object{"kubernetes.io/config.mirror": "lab", "lab.invalid/note": "lab stand-in: no such container runs"},
				},
				"spec":   object{"nodeName": m.Hostname, "hostNetwork": true, "containers": []object{{"name": name, "image": "none"}}},
				"status": PodStatus(m, NodeReady(m)),
			})
		}
	}

	return items
}

// PodStatus of a static pod of that node.
func PodStatus(m peers.Member, ready bool) object {
	return object{
		"phase": "Running", "hostIP": m.Address.String(), "podIP": m.Address.String(),
		"conditions": []any{
			condition("Initialized", true, "", ""), condition("Ready", ready, "", "lab stand-in"),
			condition("ContainersReady", ready, "", "lab stand-in"), condition("PodScheduled", true, "", ""),
		},
	}
}

// AdminUsage is what the certificate in a kubeconfig is for.
var AdminUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
