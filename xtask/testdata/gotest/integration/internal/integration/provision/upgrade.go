// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

//go:build integration_provision

// Package provision has suites that make clusters of their own.
package provision

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Settings are the command line's.
type Settings struct {
	CIDR, Registry, Mirrors, Talosctl string
}

// UpgradeSuite upgrades from a release.
type UpgradeSuite struct {
	Settings

	From  string
	Track int
}

// SuiteName ...
func (suite *UpgradeSuite) SuiteName() string {
	return fmt.Sprintf("provision.UpgradeSuite.%s-TR%d", suite.From, suite.Track)
}

// clusters is where Talos' own suites have the state of theirs.
func clusters(t *testing.T) string {
	t.Helper()

	home := os.Getenv("TALOS_HOME")
	if !filepath.IsAbs(home) {
		user, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}

		home = filepath.Join(user, ".talos")
	}

	return filepath.Join(home, "clusters")
}

// TestRolling makes a cluster's state and says what it was given.
func (suite *UpgradeSuite) TestRolling(t *testing.T) {
	state := filepath.Join(clusters(t), "upgrade")
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}

	for _, file := range []string{"vmlinuz", "initramfs.xz"} {
		if _, err := os.Stat(filepath.Join("_out", "v1.10.0", file)); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := os.Stat(suite.Talosctl); err != nil {
		t.Fatal(err)
	}

	suite.pull(t)

	seen, err := json.Marshal(map[string]any{
		"settings": suite.Settings, "uid": os.Getuid(), "state": state, "home": os.Getenv("HOME"),
	})
	if err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile("_out/seen.json", seen, 0o644); err != nil {
		t.Fatal(err)
	}

	if suite.From == "broken" {
		t.Fatal("the upgraded node does not answer")
	}
}

// pull asks the installer's registry as a node does: from the network, by this host's address in it.
func (suite *UpgradeSuite) pull(t *testing.T) {
	t.Helper()

	_, mirror, _ := strings.Cut(suite.Mirrors, suite.Registry+"=")
	mirror, _, _ = strings.Cut(mirror, ",")

	host, err := url.Parse(mirror)
	if err != nil {
		t.Fatal(err)
	}

	address := []string{host.Hostname() + "/24", "dev", "lo"}
	if out, err := exec.Command("ip", append([]string{"address", "add"}, address...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	defer exec.Command("ip", append([]string{"address", "del"}, address...)...).Run() //nolint:errcheck

	response, err := http.Get(mirror + "/v2/")
	if err != nil {
		t.Fatal(err)
	}

	response.Body.Close() //nolint:errcheck

	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
}

// TearDownSuite removes the state of all clusters, as Talos' own does.
func (suite *UpgradeSuite) TearDownSuite(t *testing.T) {
	if err := os.RemoveAll(clusters(t)); err != nil {
		t.Error(err)
	}
}
