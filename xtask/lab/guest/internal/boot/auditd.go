package boot

import "context"

// runAuditd serves the kernel's audit records as a log.
func (m *Machine) runAuditd(ctx context.Context, up func(string)) error {
	up("Service started as goroutine")
	<-ctx.Done()

	return nil
}
