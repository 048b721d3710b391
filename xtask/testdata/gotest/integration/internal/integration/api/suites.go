// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

//go:build integration_api

// Package api has suites that ask the nodes.
package api

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Cluster is the one that is tested.
type Cluster struct {
	Name, Talosctl, State, Config string
}

// Suite is one of them.
type Suite interface {
	SuiteName() string
}

// Suites are all of them.
func Suites(cluster Cluster) []Suite {
	return []Suite{
		&VersionSuite{cluster},
		&BrokenSuite{cluster},
		&FlakySuite{cluster},
		&PanicSuite{cluster},
		&HangSuite{cluster},
		&CrashSuite{cluster},
	}
}

func (cluster Cluster) talosctl(t *testing.T, args ...string) string {
	t.Helper()

	if cluster.Config != "" {
		args = append([]string{"--talosconfig", cluster.Config}, args...)
	}

	out, err := exec.Command(cluster.Talosctl, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("talosctl %s: %s\n%s", strings.Join(args, " "), err, out)
	}

	return string(out)
}

// node is an address of a control plane.
func (cluster Cluster) node(t *testing.T) string {
	t.Helper()

	for _, line := range strings.Split(cluster.talosctl(t, "config", "info", "--context", cluster.Name), "\n") {
		if rest, ok := strings.CutPrefix(line, "Endpoints:"); ok {
			first, _, _ := strings.Cut(rest, ",")

			return strings.TrimSpace(first)
		}
	}

	t.Fatalf("no context %q", cluster.Name)

	return ""
}

// VersionSuite passes on nodes that answer.
type VersionSuite struct{ Cluster }

// SuiteName ...
func (suite *VersionSuite) SuiteName() string {
	return "api.VersionSuite"
}

// TestServer asks a node.
func (suite *VersionSuite) TestServer(t *testing.T) {
	if said := suite.talosctl(t, "-n", suite.node(t), "version", "--short"); !strings.Contains(said, "Server") {
		t.Fatal(said)
	}
}

// TestLong is for whole runs.
func (suite *VersionSuite) TestLong(t *testing.T) {
	if testing.Short() {
		t.Skip("skipping in short mode")
	}

	t.Log("ran in full")
}

// BrokenSuite fails.
type BrokenSuite struct{ Cluster }

// SuiteName ...
func (suite *BrokenSuite) SuiteName() string {
	return "api.BrokenSuite"
}

// TestWrong expects what is not.
func (suite *BrokenSuite) TestWrong(t *testing.T) {
	t.Fatal("the answer is not 42")
}

// FlakySuite fails once.
type FlakySuite struct{ Cluster }

// SuiteName ...
func (suite *FlakySuite) SuiteName() string {
	return "api.FlakySuite"
}

// TestSecondTime passes from the second time on.
func (suite *FlakySuite) TestSecondTime(t *testing.T) {
	if _, err := os.Stat("_out/second-time"); err == nil {
		return
	}

	if err := os.WriteFile("_out/second-time", nil, 0o600); err != nil {
		t.Fatal(err)
	}

	t.Fatal("the first time")
}

// PanicSuite ends the binary.
type PanicSuite struct{ Cluster }

// SuiteName ...
func (suite *PanicSuite) SuiteName() string {
	return "api.PanicSuite"
}

// TestBoundless panics.
func (suite *PanicSuite) TestBoundless(*testing.T) {
	panic("out of range")
}

// TestUnreached is never begun.
func (suite *PanicSuite) TestUnreached(*testing.T) {}

// HangSuite does not end.
type HangSuite struct{ Cluster }

// SuiteName ...
func (suite *HangSuite) SuiteName() string {
	return "api.HangSuite"
}

// TestForEver waits for what never comes.
func (suite *HangSuite) TestForEver(*testing.T) {
	for {
		time.Sleep(time.Hour)
	}
}

// CrashSuite takes the cluster down below its own test.
type CrashSuite struct{ Cluster }

// SuiteName ...
func (suite *CrashSuite) SuiteName() string {
	return "api.CrashSuite"
}

// TestDown kills the worker's QEMU by its monitor's path.
func (suite *CrashSuite) TestDown(t *testing.T) {
	out, err := exec.Command("pkill", "-KILL", "-f", suite.Name+"-worker-1.monitor").CombinedOutput()
	t.Fatalf("the worker is killed: %v %s", err, out)
}
