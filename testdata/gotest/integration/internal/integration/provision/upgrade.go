//go:build integration_provision

// Package provision has suites that make clusters of their own.
package provision

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

// TearDownSuite removes the state of all clusters, as Talos' own does.
func (suite *UpgradeSuite) TearDownSuite(t *testing.T) {
	if err := os.RemoveAll(clusters(t)); err != nil {
		t.Error(err)
	}
}
