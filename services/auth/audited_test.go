package auth_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/platform/rpc"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

// notes keeps what the audit log would be told.
type notes struct {
	mu    sync.Mutex
	calls []rpc.Call
}

func (n *notes) Record(c rpc.Call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, c)
}

// last gives what the last call was about, and its details.
func (n *notes) last() [2]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.calls) == 0 {
		return [2]string{}
	}
	c := n.calls[len(n.calls)-1]
	return [2]string{c.Resource, c.Details}
}

func TestTheAuditLogNamesWhatIsMadeAndWhoWasGivenWhat(t *testing.T) {
	b := start(t)
	b.ensureMode(t, "u1", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_KEY)
	const room = "workspaces/default"
	bind := func(id, principal string, role authv1.Role, scope string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := b.bindings().CreateRoleBinding(ctx, &authv1.CreateRoleBindingRequest{
				Parent: room, RoleBindingId: id, RoleBinding: &authv1.RoleBinding{Principal: principal, Role: role, Scope: scope},
			})
			return err
		}
	}
	robot := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := b.principals().CreateServicePrincipal(ctx, &authv1.CreateServicePrincipalRequest{ServicePrincipalId: id})
			return err
		}
	}
	var secret *authv1.CreateServicePrincipalSecretResponse
	for _, tt := range []struct {
		name              string
		call              func(context.Context) error
		fails             bool
		resource, details string
	}{
		{"role", bind("ann", "user:ann", authv1.Role_ROLE_OWNER, ""), false, room + "/roleBindings/ann", "principal=user:ann role=Owner scope=" + room},
		{"role for an endpoint", bind("bob", "user:bob", authv1.Role_ROLE_SCORER, tokenEndpoint), false,
			room + "/roleBindings/bob", "principal=user:bob role=Scorer scope=" + tokenEndpoint},
		{"refused", bind("ann", "user:eve", authv1.Role_ROLE_READER, ""), true, room + "/roleBindings/ann", "principal=user:eve role=Reader scope=" + room},
		{"impossible role", bind("eve", "user:eve", 77, ""), true, room + "/roleBindings/eve", "principal=user:eve role=77 scope=" + room},
		{"forged id", bind("x/endpoints/e", "user:eve", authv1.Role_ROLE_READER, ""), true, room, "principal=user:eve role=Reader scope=" + room},
		{"forged detail", bind("odd", "group:a role=Owner", authv1.Role_ROLE_READER, ""), false,
			room + "/roleBindings/odd", `principal="group:a role=Owner" role=Reader scope=` + room},
		{"without parent", robot("robot"), false, "servicePrincipals/robot", ""},
		{"named by the server", func(ctx context.Context) (err error) {
			secret, err = b.principals().CreateServicePrincipalSecret(ctx, &authv1.CreateServicePrincipalSecretRequest{Parent: "servicePrincipals/robot"})
			return err
		}, false, "the secret's name", ""},
		{"key", func(ctx context.Context) error {
			_, err := b.keys().RegenerateEndpointKey(ctx, &authv1.RegenerateEndpointKeyRequest{
				Name: tokenEndpoint, KeyType: authv1.KeyType_KEY_TYPE_SECONDARY, KeyValue: "0123456789abcdef",
			})
			return err
		}, false, tokenEndpoint, "key=Secondary"},
	} {
		if err := tt.call(b.admin(t)); (err != nil) != tt.fails {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.name == "named by the server" {
			tt.resource = secret.GetName()
		}
		if diff := cmp.Diff([2]string{tt.resource, tt.details}, b.notes.last()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
