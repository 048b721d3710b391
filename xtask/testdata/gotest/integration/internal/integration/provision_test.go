// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

//go:build integration && integration_provision

package integration_test

import (
	"flag"
	"testing"

	"github.com/siderolabs/talos/internal/integration/provision"
)

var (
	cidr     = flag.String("talos.provision.cidr", "172.21.0.0/24", "network of the clusters")
	registry = flag.String("talos.provision.target-installer-registry", "ghcr.io", "where the installer is")
	mirrors  = flag.String("talos.provision.registry-mirror", "", "registries, by image host")
)

func init() {
	allSuites = append(allSuites, func(*testing.T) []Suite {
		settings := provision.Settings{CIDR: *cidr, Registry: *registry, Mirrors: *mirrors, Talosctl: *talosctlPath}

		return []Suite{
			&provision.UpgradeSuite{Settings: settings, From: "v1.10.0", Track: 1},
			&provision.UpgradeSuite{Settings: settings, From: "broken", Track: 2},
		}
	})
}
