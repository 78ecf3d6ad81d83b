package auth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fairlead/fairlead/platform/apierr"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
)

func (b *bed) bindings() authv1.RoleBindingServiceClient {
	return authv1.NewRoleBindingServiceClient(b.edge)
}

func (b *bed) principals() authv1.ServicePrincipalServiceClient {
	return authv1.NewServicePrincipalServiceClient(b.edge)
}

// robot makes a service principal and gives a context of a call of it.
func (b *bed) robot(t *testing.T, lifetime time.Duration) (context.Context, *authv1.CreateServicePrincipalSecretResponse) {
	t.Helper()
	_, err := b.principals().CreateServicePrincipal(b.admin(t), &authv1.CreateServicePrincipalRequest{ServicePrincipalId: "robot"})
	if err != nil && apierr.FromStatus(err).Kind != apierr.AlreadyExists {
		t.Fatal(err)
	}
	req := &authv1.CreateServicePrincipalSecretRequest{Parent: "servicePrincipals/robot"}
	if lifetime != 0 {
		req.Lifetime = durationpb.New(lifetime)
	}
	secret := must[*authv1.CreateServicePrincipalSecretResponse](t)(b.principals().CreateServicePrincipalSecret(b.admin(t), req))
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret.GetSecret()), secret
}

func (b *bed) give(t *testing.T, id, scope string, role authv1.Role) *authv1.RoleBinding {
	t.Helper()
	return must[*authv1.RoleBinding](t)(b.bindings().CreateRoleBinding(b.admin(t), &authv1.CreateRoleBindingRequest{
		Parent: "workspaces/default", RoleBindingId: id,
		RoleBinding: &authv1.RoleBinding{Principal: "serviceprincipal:robot", Role: role, Scope: scope},
	}))
}

func TestRoleBindings(t *testing.T) {
	b := start(t)
	ctx, secret := b.robot(t, 0)
	get := func() error {
		_, err := b.workspaces().GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/default"})
		return err
	}
	failsWith(t, get(), apierr.NotFound, "WORKSPACE_NOT_FOUND")
	if list := must[*authv1.ListWorkspacesResponse](t)(b.workspaces().ListWorkspaces(ctx, &authv1.ListWorkspacesRequest{})); len(list.GetWorkspaces()) > 0 {
		t.Errorf("without a role the workspaces are %v", list.GetWorkspaces())
	}
	made := b.give(t, "robot-owns", "", authv1.Role_ROLE_OWNER)
	if made.GetScope() != "workspaces/default" || made.GetCreatedBy() != "admin" || made.GetCreateTime() == nil {
		t.Errorf("binding = %v", made)
	}
	if err := get(); err != nil {
		t.Error(err)
	}
	if list := must[*authv1.ListWorkspacesResponse](t)(b.workspaces().ListWorkspaces(ctx, &authv1.ListWorkspacesRequest{})); len(list.GetWorkspaces()) != 1 {
		t.Errorf("the workspaces are %v, want default", list.GetWorkspaces())
	}
	me := must[*authv1.Identity](t)(authv1.NewIdentityServiceClient(b.edge).GetIdentity(ctx, &authv1.GetIdentityRequest{}))
	if me.GetPrincipal() != "serviceprincipal:robot" || len(me.GetGrants()) != 1 || me.GetGrants()[0].GetRole() != authv1.Role_ROLE_OWNER {
		t.Errorf("identity = %v", me)
	}
	test := must[*authv1.TestAccessResponse](t)(authv1.NewIdentityServiceClient(b.edge).TestAccess(ctx,
		&authv1.TestAccessRequest{Method: "CreateWorkspace", Resource: "workspaces/new"}))
	if test.GetAllowed() || test.GetReason() == "" {
		t.Errorf("an owner may make workspaces: %v", test)
	}

	create := func(parent string, rb *authv1.RoleBinding) error {
		_, err := b.bindings().CreateRoleBinding(ctx, &authv1.CreateRoleBindingRequest{Parent: parent, RoleBinding: rb})
		return err
	}
	failsWith(t, create("workspaces/default", &authv1.RoleBinding{Principal: "serviceprincipal:robot", Role: authv1.Role_ROLE_OWNER}), apierr.AlreadyExists, "ROLE_BINDING_EXISTS")
	failsWith(t, create("workspaces/default", &authv1.RoleBinding{Principal: "ann", Role: 99, Scope: "workspaces/other"}),
		apierr.InvalidArgument, "INVALID_ARGUMENT", "role_binding.principal", "role_binding.role", "role_binding.scope")
	failsWith(t, create("workspaces/default", &authv1.RoleBinding{Principal: "user:ann", Role: authv1.Role_ROLE_READER, Scope: "workspaces/other"}),
		apierr.InvalidArgument, "INVALID_ARGUMENT", "role_binding.scope")
	failsWith(t, create("workspaces/other", &authv1.RoleBinding{Principal: "user:ann", Role: authv1.Role_ROLE_READER}), apierr.NotFound, "WORKSPACE_NOT_FOUND")

	// The last owner can go too: the administrator remains.
	must[*authv1.DeleteRoleBindingResponse](t)(b.bindings().DeleteRoleBinding(ctx, &authv1.DeleteRoleBindingRequest{Name: made.GetName()}))
	failsWith(t, get(), apierr.NotFound, "WORKSPACE_NOT_FOUND")
	must[*authv1.DeleteServicePrincipalSecretResponse](t)(b.principals().DeleteServicePrincipalSecret(b.admin(t),
		&authv1.DeleteServicePrincipalSecretRequest{Name: secret.GetName()}))
	failsWith(t, get(), apierr.Unauthenticated, "TOKEN_UNKNOWN")
}

func TestNothingIsInherited(t *testing.T) {
	b := start(t)
	b.ensureMode(t, "u1", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN)
	ctx, _ := b.robot(t, 0)
	b.give(t, "robot-scores", tokenEndpoint, authv1.Role_ROLE_SCORER)
	must[*authv1.EndpointToken](t)(b.tokens().GetEndpointToken(ctx, &authv1.GetEndpointTokenRequest{Name: tokenEndpoint}))
	must[*authv1.DeleteEndpointKeysResponse](t)(b.services().DeleteEndpointKeys(t.Context(), &authv1.DeleteEndpointKeysRequest{Name: tokenEndpoint, EndpointUid: "u1"}))
	b.ensureMode(t, "u2", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN)
	_, err := b.tokens().GetEndpointToken(ctx, &authv1.GetEndpointTokenRequest{Name: tokenEndpoint})
	failsWith(t, err, apierr.NotFound, "WORKSPACE_NOT_FOUND")

	b.give(t, "robot-reads", "", authv1.Role_ROLE_READER)
	must[*authv1.DeleteServicePrincipalResponse](t)(b.principals().DeleteServicePrincipal(b.admin(t), &authv1.DeleteServicePrincipalRequest{Name: "servicePrincipals/robot"}))
	_, err = b.bindings().CreateRoleBinding(b.admin(t), &authv1.CreateRoleBindingRequest{
		Parent: "workspaces/default",
		RoleBinding: &authv1.RoleBinding{
			Principal: "serviceprincipal:robot", Role: authv1.Role_ROLE_READER, Scope: "workspaces/default/endpoints/later",
		},
	})
	failsWith(t, err, apierr.InvalidArgument, "INVALID_ARGUMENT", "role_binding.principal", "role_binding.scope")
	ctx, _ = b.robot(t, time.Hour)
	_, err = b.workspaces().GetWorkspace(ctx, &authv1.GetWorkspaceRequest{Name: "workspaces/default"})
	failsWith(t, err, apierr.NotFound, "WORKSPACE_NOT_FOUND")
}

func TestTheCallerOfAServiceIsKnownAndOnlyByAService(t *testing.T) {
	b := start(t)
	onBehalf := metadata.AppendToOutgoingContext(t.Context(), "fairlead-principal-bin", "user:ann")
	must[*authv1.EnsureEndpointKeysResponse](t)(b.services().EnsureEndpointKeys(onBehalf, &authv1.EnsureEndpointKeysRequest{Name: tokenEndpoint, EndpointUid: "u1"}))
	if e := b.last(t); !strings.Contains(string(e.Data), `"user:ann"`) {
		t.Errorf("the event is %s, want that it was user:ann", e.Data)
	}
	forged := metadata.AppendToOutgoingContext(b.admin(t), "fairlead-principal-bin", "user:eve")
	must[*authv1.EndpointKeys](t)(b.keys().RegenerateEndpointKey(forged, &authv1.RegenerateEndpointKeyRequest{Name: tokenEndpoint, KeyType: authv1.KeyType_KEY_TYPE_PRIMARY}))
	if e := b.last(t); strings.Contains(string(e.Data), "eve") || !strings.Contains(string(e.Data), `"admin"`) {
		t.Errorf("the event is %s, want that it was admin", e.Data)
	}
}

func TestAuditLog(t *testing.T) {
	b := start(t)
	at := time.Now().Truncate(time.Millisecond)
	entry := func(principal, workspace string, minutes int, denied bool) *authv1.AuditEntry {
		return &authv1.AuditEntry{
			Time: timestamppb.New(at.Add(time.Duration(minutes) * time.Minute)), Principal: principal, Denied: denied, Code: "OK",
			Method: "/fairlead.deploy.v1.EndpointService/CreateEndpoint", Resource: "workspaces/" + workspace + "/endpoints/e", Count: 1,
		}
	}
	record := authv1.NewAuditServiceClient(b.peer)
	req := &authv1.RecordAuditEntriesRequest{BatchId: "b1", AuditEntries: []*authv1.AuditEntry{
		entry("user:ann", "default", 0, false), entry("user:bob", "default", 1, true), entry("user:ann", "other", 2, false),
	}}
	for range 2 { // the second is a repetition
		must[*authv1.RecordAuditEntriesResponse](t)(record.RecordAuditEntries(t.Context(), req))
	}
	log := authv1.NewAuditServiceClient(b.edge)
	for name, tt := range map[string]struct {
		req  *authv1.ListAuditEntriesRequest
		want int
	}{
		"all":       {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-"}, 3},
		"workspace": {&authv1.ListAuditEntriesRequest{Parent: "workspaces/default"}, 2},
		"principal": {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-", Principal: "user:ann"}, 2},
		"denied":    {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-", DeniedOnly: true}, 1},
		"method":    {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-", Method: "DeleteEndpoint"}, 0},
		"resource":  {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-", Resource: "workspaces/default/endpoints"}, 2},
		"from":      {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-", StartTime: timestamppb.New(at.Add(time.Minute))}, 2},
		"until":     {&authv1.ListAuditEntriesRequest{Parent: "workspaces/-", EndTime: timestamppb.New(at.Add(time.Minute))}, 1},
	} {
		r := must[*authv1.ListAuditEntriesResponse](t)(log.ListAuditEntries(b.admin(t), tt.req))
		if len(r.GetAuditEntries()) != tt.want {
			t.Errorf("%s: %d entries, want %d", name, len(r.GetAuditEntries()), tt.want)
		}
	}
	var pages []string
	token := ""
	for {
		r := must[*authv1.ListAuditEntriesResponse](t)(log.ListAuditEntries(b.admin(t), &authv1.ListAuditEntriesRequest{Parent: "workspaces/-", PageSize: 1, PageToken: token}))
		for _, e := range r.GetAuditEntries() {
			pages = append(pages, e.GetId())
			if e.GetService() != "deploy" {
				t.Errorf("the entry is of %q, want deploy", e.GetService())
			}
		}
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(pages) != 3 || pages[0] < pages[1] || pages[1] < pages[2] {
		t.Errorf("pages = %v, want the newest first", pages)
	}
	_, err := log.RecordAuditEntries(b.admin(t), req)
	failsWith(t, err, apierr.PermissionDenied, "SERVICES_ONLY")
}

// A change of the mode that comes late makes no keys for an endpoint that is gone,
// and does not replace those of a later one of the same name. One that does come to
// an endpoint whose deletion was missed gives it none of the roles of the former.
func TestALateOrMissedCallGivesNothingAway(t *testing.T) {
	b := start(t)
	late := func(uid string) {
		t.Helper()
		must[*authv1.EnsureEndpointKeysResponse](t)(b.services().EnsureEndpointKeys(t.Context(), &authv1.EnsureEndpointKeysRequest{
			Name: tokenEndpoint, EndpointUid: uid, AuthMode: authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN, ExistingOnly: true,
		}))
	}
	read := func() (*authv1.EndpointKeys, error) {
		return b.keys().ListEndpointKeys(b.admin(t), &authv1.ListEndpointKeysRequest{Name: tokenEndpoint})
	}
	late("u1")
	_, err := read()
	failsWith(t, err, apierr.NotFound, "ENDPOINT_KEYS_NOT_FOUND")

	b.ensureMode(t, "u2", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_KEY)
	before := must[*authv1.EndpointKeys](t)(read())
	late("u1")
	if after := must[*authv1.EndpointKeys](t)(read()); after.GetPrimaryKey() != before.GetPrimaryKey() {
		t.Error("a late call replaced the keys of a later endpoint")
	}
	late("u2")
	_, err = read()
	failsWith(t, err, apierr.FailedPrecondition, "ENDPOINT_IN_TOKEN_MODE")

	ctx, _ := b.robot(t, 0)
	b.give(t, "robot-scores", tokenEndpoint, authv1.Role_ROLE_SCORER)
	must[*authv1.EndpointToken](t)(b.tokens().GetEndpointToken(ctx, &authv1.GetEndpointTokenRequest{Name: tokenEndpoint}))
	b.ensureMode(t, "u3", authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN) // u2 was never deleted
	_, err = b.tokens().GetEndpointToken(ctx, &authv1.GetEndpointTokenRequest{Name: tokenEndpoint})
	failsWith(t, err, apierr.NotFound, "WORKSPACE_NOT_FOUND")
}
