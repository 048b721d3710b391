// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at http://mozilla.org/MPL/2.0/.

package machined

import (
	"context"
	"slices"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What a mere reader may call; the operator may call some more, the administrator everything
// (internal/app/machined/main.go in Talos has the full table, `rules`).
var (
	forReaders = []string{
		"Version", "Hostname", "ServiceList", "Memory", "LoadAvg", "SystemStat", "CPUInfo", "DiskStats", "NetworkDeviceStats", "Mounts",
		"Processes", "Dmesg", "Events", "List", "Logs", "LogsContainers", "EtcdMemberList", "EtcdStatus", "HealthCheck", "DiskUsage",
	}
	forOperators = []string{"Reboot", "Shutdown", "Restart", "ServiceStart", "ServiceStop", "ServiceRestart"}
)

func rolesOf(ctx context.Context) role.Set {
	md, _ := metadata.FromIncomingContext(ctx)
	roles, _ := role.Parse(md.Get(constants.APIAuthzRoleMetadataKey))

	return roles
}

func authorize(ctx context.Context, method string) error {
	roles := rolesOf(ctx)
	name := method[strings.LastIndexByte(method, '/')+1:]

	switch {
	case roles.Includes(role.Admin):
		return nil
	case strings.HasPrefix(method, "/cosi.resource.State/") && roles.IncludesAny(role.MakeSet(role.Operator, role.Reader)):
		return nil
	case slices.Contains(forReaders, name) && roles.IncludesAny(role.MakeSet(role.Operator, role.Reader)):
		return nil
	case slices.Contains(forOperators, name) && roles.Includes(role.Operator):
		return nil
	}

	return status.Error(codes.PermissionDenied, "not authorized")
}

func authorizeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := authorize(ctx, info.FullMethod); err != nil {
		return nil, err
	}

	return handler(ctx, req)
}

func authorizeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := authorize(stream.Context(), info.FullMethod); err != nil {
		return err
	}

	return handler(srv, stream)
}

// readOnly keeps clients from writing resources and all but administrators from reading the machine config.
func readOnly(st state.State) state.CoreState {
	return state.Filter(st, func(ctx context.Context, access state.Access) error {
		if !access.Verb.Readonly() {
			return status.Error(codes.PermissionDenied, "not authorized")
		}

		if rolesOf(ctx).Includes(role.Admin) || access.ResourceNamespace == meta.NamespaceName {
			return nil
		}

		rd, err := safe.StateGet[*meta.ResourceDefinition](ctx, st,
			resource.NewMetadata(meta.NamespaceName, meta.ResourceDefinitionType, strings.ToLower(access.ResourceType), resource.VersionUndefined))
		if err == nil && rd.TypedSpec().Sensitivity != meta.Sensitive {
			return nil
		}

		return status.Error(codes.PermissionDenied, "not authorized")
	})
}
