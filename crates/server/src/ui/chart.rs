//! Small charts as inline SVG.
