// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package kube

import (
	"encoding/base64"
	"fmt"
	"net/url"

	"lab.invalid/guest/internal/pki"
)

// Kubeconfig makes an administrator's kubeconfig for the endpoint, as `talosctl kubeconfig` gets it
// (internal/pkg/kubeconfig in Talos: user `admin@NAME`, group system:masters).
func Kubeconfig(ca *pki.Authority, cluster string, endpoint *url.URL) ([]byte, error) {
	cert, err := ca.Issue(pki.Request{CommonName: "admin", Organization: []string{"system:masters"}, Usage: AdminUsage})
	if err != nil {
		return nil, err
	}

	b64 := base64.StdEncoding.EncodeToString

	return fmt.Appendf(nil, `# Of the lab's stand-in: its Kubernetes answers talosctl's questions and runs nothing.
apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: admin@%[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
contexts:
- context:
    cluster: %[1]s
    namespace: default
    user: admin@%[1]s
  name: admin@%[1]s
current-context: admin@%[1]s
`, cluster, endpoint, b64(ca.CertPEM), b64(cert.Cert), b64(cert.Key)), nil
}
