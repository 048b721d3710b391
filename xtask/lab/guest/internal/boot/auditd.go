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
