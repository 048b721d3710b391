// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

//go:build integration

package integration_test

import (
	"flag"
	"reflect"
	"strings"
	"testing"
)

// Suite is one of them.
type Suite interface {
	SuiteName() string
}

// tearsDown is a suite with something to remove after its tests.
type tearsDown interface {
	TearDownSuite(t *testing.T)
}

var (
	methods      = flag.String("testify.m", "", "methods to run")
	talosctlPath = flag.String("talos.talosctlpath", "talosctl", "path of talosctl")

	// allSuites are those of the build tags.
	allSuites []func(t *testing.T) []Suite
)

// TestIntegration runs each method of each suite, as testify does.
func TestIntegration(t *testing.T) {
	for _, suites := range allSuites {
		for _, suite := range suites(t) {
			t.Run(suite.SuiteName(), func(t *testing.T) {
				if *methods == "^NONE$" {
					return
				}

				if suite, ok := suite.(tearsDown); ok {
					defer suite.TearDownSuite(t)
				}

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
}
