//go:build integration

package integration_test

import (
	"flag"
	"reflect"
	"strings"
	"testing"

	"github.com/siderolabs/talos/internal/integration/api"
)

var (
	provisioner  = flag.String("talos.provisioner", "", "what the cluster was made with")
	talosctlPath = flag.String("talos.talosctlpath", "talosctl", "path of talosctl")
	clusterName  = flag.String("talos.name", "talos-default", "name of the cluster")
	statePath    = flag.String("talos.state", "", "folder of clusters' states")
)

// TestIntegration runs each method of each suite, as testify does.
func TestIntegration(t *testing.T) {
	if *provisioner != "qemu" {
		t.Fatalf("provisioner is %q", *provisioner)
	}

	cluster := api.Cluster{Name: *clusterName, Talosctl: *talosctlPath, State: *statePath}

	for _, suite := range api.Suites(cluster) {
		t.Run(suite.SuiteName(), func(t *testing.T) {
			value := reflect.ValueOf(suite)
			for i := range value.NumMethod() {
				name := value.Type().Method(i).Name
				if strings.HasPrefix(name, "Test") {
					t.Run(name, func(t *testing.T) { value.Method(i).Call([]reflect.Value{reflect.ValueOf(t)}) })
				}
			}
		})
	}
}
