// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kube

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	talosx509 "github.com/siderolabs/crypto/x509"

	"lab.invalid/guest/internal/peers"
	"lab.invalid/guest/internal/pki"
)

func cluster() *Server {
	v := peers.NewView()
	v.UpdateSelf(func(m *peers.Member) {
		*m = peers.Member{
			Hostname: "cp", NodeID: "1", BootID: "b", Address: netip.MustParseAddr("172.20.0.2"), ControlPlane: true, EtcdJoined: true, KubeletUp: true,
			OS: "lab stand-in",
		}
	})
	v.Hear(peers.Word{Bootstrapped: true, Members: []peers.Member{
		{Hostname: "w", NodeID: "2", BootID: "c", Address: netip.MustParseAddr("172.20.0.3"), KubeletUp: true, Stamp: time.Now().Add(-time.Hour).UnixNano()},
	}})

	return &Server{View: v}
}

// ask sends a request as a user with a client certificate.
func ask(t *testing.T, s *Server, method, target, body string) (int, map[string]any) {
	t.Helper()

	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
	w := httptest.NewRecorder()
	s.answer(w, r)

	var reply map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatal(err)
	}

	return w.Code, reply
}

func items(reply map[string]any) []any { return reply["items"].([]any) }

// at walks into nested objects.
func at(v any, path ...string) any {
	for _, key := range path {
		v = v.(map[string]any)[key]
	}

	return v
}

func TestNodes(t *testing.T) {
	code, reply := ask(t, cluster(), http.MethodGet, "/api/v1/nodes", "")
	if code != http.StatusOK || len(items(reply)) != 2 {
		t.Fatalf("%d: %v", code, reply)
	}

	for i, ready := range []string{"True", "False"} { // w has not been heard of for an hour
		condition := at(items(reply)[i], "status", "conditions").([]any)[0]
		if at(condition, "status") != ready {
			t.Errorf("node %d: %v", i, condition)
		}
	}

	if image := at(items(reply)[0], "status", "nodeInfo", "osImage").(string); !strings.Contains(image, "stand-in") {
		t.Errorf("the node does not say what it is: %q", image)
	}
}

func TestPodSelectors(t *testing.T) {
	for query, want := range map[string]int{
		"": 3, "?labelSelector=k8s-app+%3D+kube-apiserver": 1, "?labelSelector=k8s-app%3Dkube-proxy": 0, "?labelSelector=k8s-app%3D%3Dkube-scheduler,tier%3Dcontrol-plane": 1,
		"?fieldSelector=spec.nodeName%3Dcp": 3, "?fieldSelector=spec.nodeName%3Dw": 0,
	} {
		if _, reply := ask(t, cluster(), http.MethodGet, "/api/v1/namespaces/kube-system/pods"+query, ""); len(items(reply)) != want {
			t.Errorf("%q: %d pods, want %d", query, len(items(reply)), want)
		}
	}
}

func TestCordon(t *testing.T) {
	s := cluster()

	for body, want := range map[string]bool{`{"spec":{"unschedulable":true}}`: true, `{"spec":{"unschedulable":null}}`: false} {
		if code, reply := ask(t, s, http.MethodPatch, "/api/v1/nodes/w", body); code != http.StatusOK || at(reply, "spec", "unschedulable") != want {
			t.Errorf("%s: %d %v", body, code, reply)
		}
	}

	if code, _ := ask(t, s, http.MethodPatch, "/api/v1/nodes/x", "{}"); code != http.StatusNotFound {
		t.Errorf("an unknown node: %d", code)
	}

	if code, _ := ask(t, s, http.MethodPatch, "/api/v1/nodes/w", "{"); code != http.StatusBadRequest {
		t.Errorf("broken JSON: %d", code)
	}
}

func TestRefusals(t *testing.T) {
	s := cluster()

	if code, _ := ask(t, s, http.MethodGet, "/api/v1/secrets", ""); code != http.StatusNotFound {
		t.Errorf("an unknown path: %d", code)
	}

	if code, _ := ask(t, s, http.MethodDelete, "/api/v1/nodes", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("a change: %d", code)
	}

	r := httptest.NewRequest(http.MethodGet, "/api/v1/nodes", nil)
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	s.answer(w, r)

	if w.Code != http.StatusUnauthorized {
		t.Errorf("without a certificate: %d", w.Code)
	}

	if code, _ := ask(t, &Server{View: peers.NewView()}, http.MethodGet, "/api/v1/nodes", ""); code != http.StatusServiceUnavailable {
		t.Errorf("before the bootstrap: %d", code)
	}
}

func TestKubeconfig(t *testing.T) {
	made, err := talosx509.NewSelfSignedCertificateAuthority(talosx509.RSA(false))
	if err != nil {
		t.Fatal(err)
	}

	ca, err := pki.NewAuthority(made.CrtPEM, made.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}

	content, err := Kubeconfig(ca, "c", &url.URL{Scheme: "https", Host: "172.20.0.1:6443"})
	if err != nil {
		t.Fatal(err)
	}

	for _, want := range []string{"server: https://172.20.0.1:6443", "current-context: admin@c", "client-key-data: LS0t"} {
		if !strings.Contains(string(content), want) {
			t.Errorf("no %q in:\n%s", want, content)
		}
	}
}
