// What the pages need of it.
declare const uPlot: any;
export default uPlot;
