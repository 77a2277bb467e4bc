// Admits pods as an API server does: with Kubernetes' own code that compiles and applies MutatingAdmissionPolicies.
//
//	admission POLICY.yaml < PODS.json > ADMITTED.json
//
// POLICY.yaml holds the policy, among other documents. PODS.json is a list of pods; the answer is a list of what became of each:
// {"matched": true, "pod": {...}}, or {"error": "..."}. Selectors of policy and bindings are not looked at.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/yaml"
)

var (
	podKind     = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

type admitted struct {
	Matched bool           `json:"matched"`
	Pod     runtime.Object `json:"pod,omitempty"`
	Error   string         `json:"error,omitempty"`
}

type evaluator struct {
	compiler  *cel.CompositedCompiler
	matcher   matchconditions.Matcher
	patchers  []patch.Patcher
	converter managedfields.TypeConverter
	scheme    *runtime.Scheme
}

// readPolicy returns the MutatingAdmissionPolicy of a file. Members that it does not know are errors.
func readPolicy(path string) (*v1.MutatingAdmissionPolicy, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	reader := yamlstream.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		text, err := reader.Read()
		if err == io.EOF {
			return nil, errors.New("no MutatingAdmissionPolicy of admissionregistration.k8s.io/v1")
		} else if err != nil {
			return nil, err
		}
		var head metav1.TypeMeta
		if err := yaml.Unmarshal(text, &head); err != nil {
			return nil, err
		}
		if head.Kind != "MutatingAdmissionPolicy" || head.APIVersion != v1.SchemeGroupVersion.String() {
			continue
		}
		policy := &v1.MutatingAdmissionPolicy{}
		return policy, yaml.UnmarshalStrict(text, policy)
	}
}

// compile does what the API server does with a policy (mutating.compilePolicy, which is not exported).
func compile(policy *v1.MutatingAdmissionPolicy) (*evaluator, error) {
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return nil, err
	}
	options := cel.OptionalVariableDeclarations{HasParams: policy.Spec.ParamKind != nil, HasAuthorizer: true}
	for _, one := range policy.Spec.Variables {
		found := compiler.CompileAndStoreVariable(&validating.Variable{Name: one.Name, Expression: one.Expression}, options, environment.StoredExpressions)
		if found.Error != nil {
			return nil, fmt.Errorf("variable %s: %w", one.Name, found.Error)
		}
	}
	made := &evaluator{compiler: compiler, scheme: runtime.NewScheme()}
	if err := corev1.AddToScheme(made.scheme); err != nil {
		return nil, err
	}
	if len(policy.Spec.MatchConditions) > 0 {
		conditions := make([]cel.ExpressionAccessor, len(policy.Spec.MatchConditions))
		for i := range policy.Spec.MatchConditions {
			conditions[i] = (*matchconditions.MatchCondition)(&policy.Spec.MatchConditions[i])
		}
		compiled := compiler.CompileCondition(conditions, options, environment.StoredExpressions)
		made.matcher = matchconditions.NewMatcher(compiled, policy.Spec.FailurePolicy, "policy", "admit", policy.Name)
	}
	options.HasPatchTypes = true
	for i, one := range policy.Spec.Mutations {
		var compiled cel.MutatingEvaluator
		switch one.PatchType {
		case v1.PatchTypeApplyConfiguration:
			compiled = compiler.CompileMutatingEvaluator(&patch.ApplyConfigurationCondition{Expression: one.ApplyConfiguration.Expression}, options, environment.StoredExpressions)
			made.patchers = append(made.patchers, patch.NewApplyConfigurationPatcher(compiled))
		case v1.PatchTypeJSONPatch:
			compiled = compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: one.JSONPatch.Expression}, options, environment.StoredExpressions)
			made.patchers = append(made.patchers, patch.NewJSONPatcher(compiled))
		default:
			return nil, fmt.Errorf("mutation %d: patchType %s", i, one.PatchType)
		}
		if err := errors.Join(compiled.CompilationErrors()...); err != nil {
			return nil, fmt.Errorf("mutation %d: %w", i, err)
		}
	}
	made.converter = applyconfigurations.NewTypeConverter(made.scheme)
	return made, nil
}

func (e *evaluator) admit(ctx context.Context, pod *corev1.Pod) admitted {
	ctx = e.compiler.CreateContext(ctx)
	var object runtime.Object = pod
	for i := -1; i < len(e.patchers); i++ {
		attributes := admission.NewAttributesRecord(object, nil, podKind, pod.Namespace, pod.Name, podResource, "", admission.Create, &metav1.CreateOptions{}, false, nil)
		versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: podKind, VersionedObject: admission.NewLazyObject(object)}
		if i < 0 {
			if e.matcher == nil {
				continue
			}
			if found := e.matcher.Match(ctx, versioned, nil, nil); found.Error != nil || !found.Matches {
				return admitted{Pod: object, Error: describe(found.Error)}
			}
			continue
		}
		changed, err := e.patchers[i].Patch(ctx, patch.Request{
			MatchedResource:     podResource,
			VersionedAttributes: versioned,
			ObjectInterfaces:    admission.NewObjectInterfacesFromScheme(e.scheme),
			Namespace:           &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pod.Namespace}},
			TypeConverter:       e.converter,
		}, celconfig.RuntimeCELCostBudget)
		if err != nil {
			return admitted{Matched: true, Error: fmt.Sprintf("mutation %d: %v", i, err)}
		}
		object = changed
	}
	return admitted{Matched: true, Pod: object}
}

func describe(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: admission POLICY.yaml < PODS.json")
	}
	policy, err := readPolicy(os.Args[1])
	if err != nil {
		return err
	}
	var pods []*corev1.Pod
	if err := json.NewDecoder(os.Stdin).Decode(&pods); err != nil {
		return err
	}
	made, err := compile(policy)
	if err != nil {
		return err
	}
	answers := make([]admitted, len(pods))
	for i, pod := range pods {
		answers[i] = made.admit(context.Background(), pod)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
