// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

//go:build integration && integration_api

package integration_test

import (
	"flag"
	"testing"

	"github.com/siderolabs/talos/internal/integration/api"
)

var (
	provisioner = flag.String("talos.provisioner", "", "what the cluster was made with")
	clusterName = flag.String("talos.name", "talos-default", "name of the cluster")
	statePath   = flag.String("talos.state", "", "folder of clusters' states")
	talosConfig = flag.String("talos.config", "", "path of the talosconfig")
)

func init() {
	allSuites = append(allSuites, func(t *testing.T) []Suite {
		if *provisioner != "qemu" {
			t.Fatalf("provisioner is %q", *provisioner)
		}

		var suites []Suite
		for _, suite := range api.Suites(api.Cluster{Name: *clusterName, Talosctl: *talosctlPath, State: *statePath, Config: *talosConfig}) {
			suites = append(suites, suite)
		}

		return suites
	})
}
