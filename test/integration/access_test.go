package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// newPrincipal makes a service principal and gives its secret.
func newPrincipal(t *testing.T, i *harness.Installation, name string) string {
	t.Helper()
	i.Run("auth", "service-principal", "create", "-n", name)
	secret := &authv1.CreateServicePrincipalSecretResponse{}
	unmarshal(t, i.Run("auth", "service-principal", "create-secret", "-n", name, "-o", "json"), secret)
	return secret.GetSecret()
}

// give gives a service principal a role.
func give(i *harness.Installation, name, role string, more ...string) {
	i.Run(append([]string{"auth", "role-binding", "create", "-n", name + "-binding", "--principal", "serviceprincipal:" + name, "--role", role}, more...)...)
}

// rest makes a call with a token and gives the status.
func rest(t *testing.T, i *harness.Installation, token, method, path string) int {
	t.Helper()
	body := strings.NewReader("")
	if method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	request, err := http.NewRequestWithContext(testContext(t), method, i.Server+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := i.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

// TestRoles has principals of every role call over REST and gRPC.
func TestRoles(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		i.Run("workspace", "create", "-n", "team")
		tokens := map[string]string{}
		for _, role := range []string{"Owner", "Contributor", "Reader", "Scorer"} {
			name := strings.ToLower(role)
			tokens[name] = newPrincipal(t, i, name)
			give(i, name, role)
		}
		tokens["endpointreader"] = newPrincipal(t, i, "endpointreader")
		registerModel(t, i)
		deploy(t, i, "mine", script, nil)
		give(i, "endpointreader", "Reader", "--endpoint", "mine")
		tokens["nobody"] = newPrincipal(t, i, "nobody")
		const no, gone, ok = http.StatusForbidden, http.StatusNotFound, http.StatusOK
		const keys = http.StatusBadRequest // the endpoint is opened by keys
		who := []string{"owner", "contributor", "reader", "scorer", "endpointreader", "nobody"}
		for _, tt := range []struct {
			method, path string
			want         []int // for who; 404 of a handler, where the call itself is allowed, is -404
		}{
			{"GET", "/v1/workspaces", []int{ok, ok, ok, ok, ok, ok}},
			{"GET", "/v1/workspaces/default", []int{ok, ok, ok, ok, ok, gone}},
			{"GET", "/v1/workspaces/team", []int{gone, gone, gone, gone, gone, gone}},
			{"GET", "/v1/workspaces/nowhere", []int{gone, gone, gone, gone, gone, gone}},
			{"GET", "/v1/workspaces/default/endpoints", []int{ok, ok, ok, no, no, gone}},
			{"GET", "/v1/workspaces/default/computeTargets", []int{ok, ok, ok, no, no, gone}},
			{"GET", "/v1/workspaces/default/models", []int{ok, ok, ok, no, no, gone}},
			{"GET", "/v1/workspaces/default/endpoints/mine/versions/none", []int{-gone, -gone, -gone, no, -gone, gone}},
			{"GET", "/v1/workspaces/default/endpoints/other", []int{-gone, -gone, -gone, no, no, gone}},
			{"DELETE", "/v1/workspaces/default/endpoints/mine/versions/none", []int{-gone, -gone, no, no, no, gone}},
			{"POST", "/v1/workspaces/default/endpoints/mine:listKeys", []int{ok, ok, no, no, no, gone}},
			{"POST", "/v1/workspaces/default/endpoints/mine:getToken", []int{keys, keys, keys, keys, keys, gone}},
			{"GET", "/v1/workspaces/default/roleBindings", []int{ok, no, no, no, no, gone}},
			{"GET", "/v1/workspaces/default/auditEntries", []int{ok, no, no, no, no, gone}},
			{"GET", "/v1/workspaces/-/auditEntries", []int{no, no, no, no, no, no}},
			{"GET", "/v1/workspaces/default/events:watch?noFollow=true", []int{ok, ok, ok, no, no, gone}},
			{"GET", "/v1/workspaces/team/events:watch?noFollow=true", []int{gone, gone, gone, gone, gone, gone}},
			{"GET", "/v1/workspaces/-/events:watch?noFollow=true", []int{no, no, no, no, no, no}},
			{"GET", "/v1/servicePrincipals", []int{no, no, no, no, no, no}},
			{"POST", "/v1/signingKeys:rotate", []int{no, no, no, no, no, no}},
			{"POST", "/v1/workspaces?workspaceId=another", []int{no, no, no, no, no, no}},
			{"GET", "/v1/router/routeTable", []int{no, no, no, no, no, no}},
			{"GET", "/v1/nodeSizes", []int{ok, ok, ok, ok, ok, ok}},
		} {
			for n, name := range who {
				want := max(tt.want[n], -tt.want[n])
				if got := rest(t, i, tokens[name], tt.method, tt.path); got != want {
					t.Errorf("%s: %s %s = %d, want %d", name, tt.method, tt.path, got, want)
				}
			}
		}
		checkGRPC(t, i, tokens)
		if got := rest(t, i, "", "GET", "/.well-known/jwks.json"); got != ok {
			t.Errorf("the public keys without a token: %d", got)
		}
		i.Run("auth", "service-principal", "delete", "-n", "owner")
		if got := rest(t, i, tokens["owner"], "GET", "/v1/workspaces"); got != http.StatusUnauthorized {
			t.Errorf("after the service principal was deleted: %d, want 401", got)
		}
	})
}

// checkGRPC does the same for some calls, streams among them.
func checkGRPC(t *testing.T, i *harness.Installation, tokens map[string]string) {
	t.Helper()
	conn := i.Anonymous()
	endpoints, events := deployv1.NewEndpointServiceClient(conn), eventsv1.NewEventServiceClient(conn)
	as := func(name string) context.Context {
		return metadata.AppendToOutgoingContext(testContext(t), "authorization", "Bearer "+tokens[name])
	}
	first := func(recv func() error, err error) codes.Code {
		if err == nil {
			err = recv()
		}
		return status.Code(err)
	}
	for name, want := range map[string][3]codes.Code{
		"reader": {codes.OK, codes.NotFound, codes.Unknown},
		"scorer": {codes.PermissionDenied, codes.PermissionDenied, codes.PermissionDenied},
		"nobody": {codes.NotFound, codes.NotFound, codes.NotFound},
	} {
		_, err := endpoints.ListEndpoints(as(name), &deployv1.ListEndpointsRequest{Parent: workspace})
		if got := status.Code(err); got != want[0] {
			t.Errorf("%s: ListEndpoints = %v, want %v", name, got, want[0])
		}
		logs, err := endpoints.ReadEndpointLogs(as(name), &deployv1.ReadEndpointLogsRequest{Name: workspace + "/endpoints/none"})
		got := first(func() error { _, err := logs.Recv(); return err }, err)
		if got != want[1] {
			t.Errorf("%s: ReadEndpointLogs = %v, want %v", name, got, want[1])
		}
		if want[2] == codes.Unknown { // allowed: the stream goes on or ends
			continue
		}
		watch, err := events.WatchEvents(as(name), &eventsv1.WatchEventsRequest{Parent: workspace})
		if got := first(func() error { _, err := watch.Recv(); return err }, err); got != want[2] {
			t.Errorf("%s: WatchEvents = %v, want %v", name, got, want[2])
		}
	}
	_, err := authv1.NewEndpointKeyServiceClient(conn).EnsureEndpointKeys(as("owner"),
		&authv1.EnsureEndpointKeysRequest{Name: workspace + "/endpoints/e", EndpointUid: "u"}, grpc.WaitForReady(false))
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method of services: %v", err)
	}
}

// TestTokens scores with tokens: with auth gone too, and until they are revoked.
func TestTokens(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		key := deploy(t, i, "shop", script, nil)
		answer, err := i.REST(testContext(t), http.MethodPatch, "/v1/workspaces/default/endpoints/shop?update_mask=auth_mode",
			map[string]string{"authMode": "AUTH_MODE_TOKEN"})
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("token mode: %v, %v", answer, err)
		}
		token := getToken(t, i)
		awaitScore(t, i, token, http.StatusOK, "")
		awaitScore(t, i, key, http.StatusUnauthorized, "opened by tokens")
		i.Refused("endpoint", "get-keys", "-n", "shop")
		if i.Assembly == harness.Services {
			i.Kill("auth", 9)
			awaitScore(t, i, token, http.StatusOK, "")
			i.Kill("router", 9)
			i.Restart("router")
			awaitScore(t, i, token, http.StatusOK, "")
			// An hour later it is as valid, and when its time is over it is not.
			for offset, want := range map[string]int{"--clock-offset=1h": http.StatusOK, "--clock-offset=25h": http.StatusUnauthorized} {
				i.Kill("router", 9)
				if err := i.Launch(testContext(t), "router", offset); err != nil {
					t.Fatal(err)
				}
				awaitScore(t, i, token, want, "")
			}
			i.Kill("router", 9)
			i.Restart("router")
			i.Restart("auth")
		}
		i.Run("auth", "rotate-signing-key")
		awaitScore(t, i, token, http.StatusOK, "")
		i.Run("endpoint", "revoke-tokens", "-n", "shop")
		begin := time.Now()
		awaitScore(t, i, token, http.StatusUnauthorized, "revoked")
		t.Logf("the revocation was effective after %v", time.Since(begin))
		awaitScore(t, i, getToken(t, i), http.StatusOK, "")
		i.Run("endpoint", "run", "-n", "shop", "-d", `{}`)
		secret, admin := newPrincipal(t, i, "scorer"), i.Token
		give(i, "scorer", "Scorer", "--endpoint", "shop")
		i.Token = secret
		i.Run("endpoint", "run", "-n", "shop", "-d", `{}`, "--url", i.Data)
		i.Token = admin
		if says := i.Run("auth", "audit", "--method", "CreateEndpoint"); !strings.Contains(says, workspace+"/endpoints/shop") {
			t.Errorf("the audit log does not name the endpoint that was made:\n%s", says)
		}
		if says := i.Run("auth", "audit", "--principal", "serviceprincipal:scorer", "--denied"); strings.Contains(says, "GetEndpoint") {
			t.Errorf("a scorer that scores was refused something:\n%s", says)
		}
		says := i.Run("auth", "audit", "--method", "GetEndpointToken")
		if !strings.Contains(says, "admin") || strings.Contains(says, token) {
			t.Errorf("the audit log:\n%s", says)
		}
	})
}

func getToken(t *testing.T, i *harness.Installation) string {
	t.Helper()
	var got struct {
		AccessToken, TokenType, ExpiryOn, RefreshAfter string
	}
	if err := json.Unmarshal([]byte(i.Run("endpoint", "get-token", "-n", "shop", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.AccessToken == "" || got.TokenType != "Bearer" || got.ExpiryOn == "" || got.RefreshAfter == "" {
		t.Fatalf("token = %+v", got)
	}
	return got.AccessToken
}

// awaitScore scores until the answer is as wanted.
func awaitScore(t *testing.T, i *harness.Installation, token string, want int, says string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		answer, err := i.Score(testContext(t), "shop", token, wish(`{}`), nil)
		if err == nil && answer.Status == want && strings.Contains(string(answer.Body), says) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the answer is %v, %v; want %d saying %q", answer, err, want, says)
		}
	}
}
