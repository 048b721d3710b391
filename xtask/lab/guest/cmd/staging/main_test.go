// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package main

import "testing"

func TestStagedLibrariesGetThePublishedVersion(t *testing.T) {
	const given = `module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
	github.com/x/y v1.2.3
	k8s.io/api v0.0.0
	k8s.io/utils v0.0.0-20260108192941-914a6e750570 // indirect
)

replace k8s.io/api => ./staging/src/k8s.io/api
`

	const want = `module lab.invalid/kubernetes

go 1.26.0

godebug default=go1.26

require (
	k8s.io/kubernetes v1.36.0
	github.com/x/y v1.2.3
	k8s.io/api v0.36.0
	k8s.io/utils v0.0.0-20260108192941-914a6e750570
)
`

	got, err := rewrite([]byte(given), "v1.36.0")
	if err != nil || string(got) != want {
		t.Fatalf("%v\n%s", err, got)
	}
}

func TestOnlyTheGoModOfKubernetesIsTaken(t *testing.T) {
	for _, version := range []string{"v1.36.0", "v2.0.0"} {
		if _, err := rewrite([]byte("module x.example/y\n"), version); err == nil {
			t.Error(version, "taken")
		}
	}
}
