import { render } from "preact";
import { App } from "./app";
import { connect } from "./live";
import "./style.css";

connect();
const root = document.getElementById("page");
if (root) render(<App />, root);
