// Command dashboard-judge reads Grafana dashboards with the types of Grafana's foundation SDK,
// which refuse unknown fields and wrong types, and asks dashboard-linter's rules about them.
//
//	dashboard-judge CONFIGURATION FILE...
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grafana/dashboard-linter/lint"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	faults := 0
	fault := func(file string, what any) {
		faults++
		fmt.Printf("%s: %v\n", file, what)
	}
	configuration := lint.NewConfigurationFile()
	if err := configuration.Load(os.Args[1]); err != nil {
		fault(os.Args[1], err)
	}
	for _, file := range os.Args[2:] {
		text, err := os.ReadFile(file)
		if err != nil {
			fault(file, err)
			continue
		}
		var model dashboard.Dashboard
		if err := found(model.UnmarshalJSONStrict(text)); err != nil {
			fault(file, err)
		} else if err := found(model.Validate()); err != nil {
			fault(file, err)
		}
		read, err := lint.NewDashboard(text)
		if err != nil {
			fault(file, err)
			continue
		}
		rules := lint.NewRuleSet()
		results, err := rules.Lint([]lint.Dashboard{read})
		if err != nil {
			fault(file, err)
			continue
		}
		results.Configure(configuration)
		for rule, all := range results.ByRule() {
			for _, context := range all {
				for _, result := range context.Result.Results {
					if result.Severity >= lint.Warning && result.Severity != lint.Exclude {
						fault(file, rule+": "+result.Message)
					}
				}
			}
		}
	}
	if faults > 0 {
		os.Exit(1)
	}
	fmt.Printf("%d dashboards accepted\n", len(os.Args)-2)
}

// found returns nil for an error without content: the SDK returns lists that may be empty.
func found(err error) error {
	var list cog.BuildErrors
	if errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}
