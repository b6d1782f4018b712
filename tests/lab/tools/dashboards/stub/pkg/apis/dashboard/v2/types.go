// Package v2 has the types by which dashboard-linter reads the second version of Grafana's JSON
// model. Grafana's own package has another licence, and our dashboards have the first version: of
// these types only the names matter.
package v2

type DashboardSpec struct {
	Title       string
	Editable    *bool
	Elements    map[string]DashboardElement
	Variables   []DashboardVariableKind
	Annotations []DashboardAnnotationQueryKind
}

type DashboardElement struct{ PanelKind *PanelKind }

type PanelKind struct{ Spec DashboardPanelSpec }

type DashboardPanelSpec struct {
	Id                 float64
	Title, Description string
	VizConfig          struct {
		Group string
		Spec  struct{ FieldConfig, Options any }
	}
	Data struct {
		Spec struct{ Queries []DashboardPanelQueryKind }
	}
}

type DashboardPanelQueryKind struct {
	Spec struct {
		RefId  string
		Hidden bool
		Query  DashboardDataQueryKind
	}
}

type DashboardDataQueryKind struct {
	Group      string
	Datasource *struct{ Name *string }
	Spec       map[string]any
}

type DashboardAnnotationQueryKind struct {
	Spec struct {
		Name  string
		Query DashboardDataQueryKind
	}
}

type DashboardVariableRefresh string

const (
	DashboardVariableRefreshOnDashboardLoad    DashboardVariableRefresh = "onDashboardLoad"
	DashboardVariableRefreshOnTimeRangeChanged DashboardVariableRefresh = "onTimeRangeChanged"
)

type Variable struct {
	Spec struct {
		Name            string
		Label, AllValue *string
		Multi           bool
		Refresh         DashboardVariableRefresh
		PluginId        string
	}
}

type QueryVariable struct {
	Spec struct {
		Name            string
		Label, AllValue *string
		Multi           bool
		Refresh         DashboardVariableRefresh
		Query           DashboardDataQueryKind
	}
}

type TextVariable struct {
	Spec struct {
		Name            string
		Label, AllValue *string
		Multi           bool
		Query           string
	}
}

type DashboardVariableKind struct {
	QueryVariableKind      *QueryVariable
	DatasourceVariableKind *Variable
	CustomVariableKind     *TextVariable
	IntervalVariableKind   *TextVariable
	ConstantVariableKind   *TextVariable
	TextVariableKind       *TextVariable
	AdhocVariableKind      *Variable
	GroupByVariableKind    *Variable
	SwitchVariableKind     *Variable
}
