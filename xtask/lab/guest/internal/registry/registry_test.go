// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package registry

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

func TestParse(t *testing.T) {
	for image, want := range map[string]Reference{
		"ghcr.io/siderolabs/installer:v1.12.0": {"ghcr.io", "siderolabs/installer", "v1.12.0"},
		"127.0.0.1:5005/a/b/c:x-dirty":         {"127.0.0.1:5005", "a/b/c", "x-dirty"},
		"127.0.0.1:5005/a":                     {"127.0.0.1:5005", "a", "latest"},
		"localhost/a@sha256:00":                {"localhost", "a", "sha256:00"},
		"ghcr.io/a:v1@sha256:00":               {"ghcr.io", "a", "sha256:00"},
		"alpine":                               {"docker.io", "library/alpine", "latest"},
		"user/alpine:3":                        {"docker.io", "user/alpine", "3"},
	} {
		if got := Parse(image); got != want {
			t.Errorf("%s: %+v", image, got)
		}
	}
}

type endpoint struct {
	url      string
	override bool
}

func (e endpoint) Endpoint() string   { return e.url }
func (e endpoint) OverridePath() bool { return e.override }

type mirror struct {
	list []endpoint
	only bool
}

func (m mirror) SkipFallback() bool { return m.only }

func (m mirror) Endpoints() (list []config.RegistryEndpointConfig) {
	for _, e := range m.list {
		list = append(list, e)
	}

	return list
}

func TestEndpoints(t *testing.T) {
	mirrors := map[string]config.RegistryMirrorConfig{
		"ghcr.io": mirror{list: []endpoint{{"http://172.20.0.1:5004/", false}, {"http://h/v2/ghcr", true}}},
		"*":       mirror{list: []endpoint{{"http://all", false}}, only: true},
	}

	for host, want := range map[string][]string{
		"ghcr.io":   {"http://172.20.0.1:5004/v2", "http://h/v2/ghcr", "https://ghcr.io/v2"},
		"docker.io": {"http://all/v2"},
	} {
		if got := endpoints(host, mirrors); !slices.Equal(got, want) {
			t.Errorf("%s: %v", host, got)
		}
	}

	if got := endpoints("docker.io", nil); !slices.Equal(got, []string{"https://registry-1.docker.io/v2"}) {
		t.Errorf("without mirrors: %v", got)
	}
}

func TestResolve(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/siderolabs/installer/manifests/v1" && slices.Contains(r.Header["Accept"], accept[0]) {
			w.Header().Set("Docker-Content-Digest", "sha256:abc")

			return
		}

		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()

	// The first mirror is dead, the second has it.
	mirrors := map[string]config.RegistryMirrorConfig{"ghcr.io": mirror{list: []endpoint{{"http://127.0.0.1:1", false}, {server.URL, false}}, only: true}}

	if digest, err := Resolve(t.Context(), http.DefaultClient, "ghcr.io/siderolabs/installer:v1", mirrors); err != nil || digest != "sha256:abc" {
		t.Errorf("%q %v", digest, err)
	}

	if _, err := Resolve(t.Context(), http.DefaultClient, "ghcr.io/siderolabs/installer:v2", mirrors); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an image that is not there: %v", err)
	}
}
