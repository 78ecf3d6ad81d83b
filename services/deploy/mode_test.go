package deploy_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/platform/store/memory"
	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const (
	byKeys   = authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_KEY
	byTokens = authv1.EndpointAuthMode_ENDPOINT_AUTH_MODE_TOKEN
)

// full is a store that takes no change of an endpoint while it is full.
type full struct {
	*memory.Store
	on atomic.Bool
}

func (f *full) Apply(ctx context.Context, b store.Batch) (store.Revision, error) {
	for _, op := range b.Ops {
		if f.on.Load() && strings.HasPrefix(op.Key, "endpoints/") {
			return 0, errors.New("the disk is full")
		}
	}
	return f.Store.Apply(ctx, b)
}

func (b *bed) updateMode(m deployv1.Endpoint_AuthMode) error {
	_, err := b.endpoints.UpdateEndpoint(b.t.Context(), &deployv1.UpdateEndpointRequest{Endpoint: &deployv1.Endpoint{Name: endpointName, AuthMode: m}})
	return err
}

func (b *bed) told() authv1.EndpointAuthMode {
	k, _ := b.auth.Keys(endpointName)
	return k.Mode
}

// What the auth service is told and what is stored must not stay apart: tokens
// could be had that open nothing, or keys be hidden that do.
func TestAModeThatIsNotStoredIsTakenBack(t *testing.T) {
	b := prepare(t, nil)
	f := &full{Store: b.memory}
	b.store = f
	b.start()
	b.create(nil)
	f.on.Store(true)
	if err := b.updateMode(deployv1.Endpoint_AUTH_MODE_TOKEN); err == nil {
		t.Fatal("the change was accepted")
	}
	if b.told() != byKeys {
		t.Errorf("the auth service was left with %v", b.told())
	}
	f.on.Store(false)
	b.check(b.updateMode(deployv1.Endpoint_AUTH_MODE_TOKEN))
	if b.told() != byTokens || b.get().GetAuthMode() != deployv1.Endpoint_AUTH_MODE_TOKEN {
		t.Errorf("told %v, stored %v", b.told(), b.get().GetAuthMode())
	}
}

// A process that was killed between the two is made up for by whoever works next.
func TestTheStoredModeIsToldAfterARestart(t *testing.T) {
	b := newBed(t, nil)
	e := b.create(nil)
	b.stop()
	req := &authv1.EnsureEndpointKeysRequest{Name: endpointName, EndpointUid: e.GetUid(), AuthMode: byTokens, ExistingOnly: true}
	if _, err := b.auth.EnsureEndpointKeys(t.Context(), req); err != nil || b.told() != byTokens {
		t.Fatalf("%v, %v", err, b.told())
	}
	b.start()
	b.eventually("the stored mode is told", func() bool { return b.told() == byKeys })
}

func TestNoModeIsChangedWhileTheAuthServiceIsAway(t *testing.T) {
	b := newBed(t, nil)
	b.create(nil)
	b.auth.SetDown(true)
	refused(t, b.updateMode(deployv1.Endpoint_AUTH_MODE_TOKEN), "KEYS_UNAVAILABLE", "try again")
	b.auth.SetDown(false)
	if b.get().GetAuthMode() != deployv1.Endpoint_AUTH_MODE_KEY {
		t.Errorf("the mode is %v", b.get().GetAuthMode())
	}
}
