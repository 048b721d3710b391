// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package boot

import (
	"context"

	"lab.invalid/guest/internal/audit"
)

// runAuditd serves the kernel's audit records as a log. With talos.auditd.disabled=1 it is not started, and the kernel prints
// them itself.
func (m *Machine) runAuditd(ctx context.Context, up func(string)) error {
	return audit.Run(ctx, m.Logs.Open("auditd"), func() { up("Service started as goroutine") })
}
