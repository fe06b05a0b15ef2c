/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in it: ECS, Auto Scaling; zones and tags. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "inventory/network_build.h"

/* ---- ECS ---- */

/* The part of an ARN behind the last slash. */
static const char *last_part(const char *arn)
{
	const char *slash = arn ? strrchr(arn, '/') : NULL;

	return slash ? slash + 1 : "";
}

struct task_read {
	struct fl_task task;
	const char *group, *status;
	const json_t *attachments;
};
struct container {
	const char *runtime_id;
};
static const struct fl_member container_members[] = {FL_M_STR("runtimeId", container, runtime_id)};
static const struct fl_shape container_shape = FL_SHAPE(
    "a container", container_members,
    " containerArn taskArn name image imageDigest lastStatus exitCode reason networkBindings networkInterfaces "
    "healthStatus managedAgents cpu memory memoryReservation gpuIds ");
static void task_container(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_task *t = into;
	struct container c = {0};

	fl_walk(r, item, &container_shape, &c);
	if (!c.runtime_id)
		return; /* not started yet */
	if (!t->container_id)
		t->container_id = c.runtime_id;
	else if (!t->second_container_id)
		t->second_container_id = c.runtime_id;
}

struct task_attachment {
	const char *type, *status, *eni_id;
};
struct detail {
	const char *name, *value;
};
static const struct fl_member detail_members[] = {FL_M_STR("name", detail, name), FL_M_STR("value", detail, value)};
static const struct fl_shape detail_shape = FL_SHAPE("a detail of an attachment", detail_members, "");
static void attachment_detail(struct fl_reader *r, const json_t *item, void *into)
{
	struct detail d = {0};

	fl_walk(r, item, &detail_shape, &d);
	if (fl_is(d.name, "networkInterfaceId"))
		((struct task_attachment *)into)->eni_id = d.value;
}
static const struct fl_member task_attachment_members[] = {
    FL_M_STR("type", task_attachment, type),
    FL_M_STR("status", task_attachment, status),
    FL_M_EACH("details", attachment_detail),
};
static const struct fl_shape task_attachment_shape = FL_SHAPE("a task's attachment", task_attachment_members, " id ");
static void task_attachment(struct fl_reader *r, const json_t *item, void *into)
{
	struct fl_task *t = into;
	struct task_attachment a = {0};

	fl_walk(r, item, &task_attachment_shape, &a);
	if (a.eni_id && !fl_is(a.status, "DELETED"))
		fl_side_add(r, FL_SIDE_ENI_TASK, a.eni_id, t->noun.id, (struct fl_tag){0}, NULL);
}

static const struct fl_member task_members[] = {
    FL_M_ID("taskArn", fl_task),
    FL_M_STR("clusterArn", fl_task, cluster_arn),
    FL_M_STR("containerInstanceArn", fl_task, container_instance_arn),
    FL_M_STR("taskDefinitionArn", fl_task, definition_arn),
    FL_M_STR("group", task_read, group),
    FL_M_STR("lastStatus", task_read, status),
    FL_M_EACH("containers", task_container),
    FL_M_JSON("attachments", task_read, attachments),
    FL_M_TAGS("tags", fl_task, noun.tags),
};
const struct fl_shape fl_task_shape = FL_SHAPE(
    "an ECS task", task_members,
    " attributes availabilityZone capacityProviderName connectivity connectivityAt cpu createdAt desiredStatus "
    "enableExecuteCommand executionStoppedAt healthStatus inferenceAccelerators launchType memory overrides "
    "platformVersion platformFamily pullStartedAt pullStoppedAt startedAt startedBy stopCode stoppedAt "
    "stoppedReason stoppingAt version ephemeralStorage fargateEphemeralStorage ");
void fl_task_done(struct fl_reader *r, void *noun)
{
	struct task_read *t = noun;
	struct fl_task *task = &t->task;
	size_t mark = fl_path_member(r, "attachments");

	task->task_id = last_part(task->noun.id);
	task->cluster_name = last_part(task->cluster_arn);
	task->container_instance_id = last_part(task->container_instance_arn);
	if (t->group && !strncmp(t->group, "service:", 8))
		task->service_name = fl_network_intern(r->net, t->group + 8, SIZE_MAX);
	if (!fl_is(t->status, "STOPPED") && task->noun.id)
		fl_each(r, t->attachments, task_attachment, task);
	fl_path_pop(r, mark);
}

_Static_assert(sizeof(struct task_read) <= FL_READ_ROOM, "room for what is only needed while it is read");

struct service {
	const char *name, *cluster;
};
static const struct fl_member service_members[] = {FL_M_STR("serviceName", service, name),
						   FL_M_STR("clusterArn", service, cluster)};
static const struct fl_shape service_shape = FL_SHAPE(
    "an ECS service", service_members,
    " serviceArn loadBalancers serviceRegistries status desiredCount runningCount pendingCount launchType "
    "capacityProviderStrategy platformVersion platformFamily taskDefinition deploymentConfiguration taskSets "
    "deployments roleArn events createdAt currentServiceDeployment currentServiceRevisions placementConstraints "
    "placementStrategy networkConfiguration healthCheckGracePeriodSeconds schedulingStrategy deploymentController "
    "tags createdBy enableECSManagedTags propagateTags enableExecuteCommand availabilityZoneRebalancing "
    "resourceManagementType ");
void fl_service_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct service s = {0};
	char key[512];

	fl_walk(r, item, &service_shape, &s);
	snprintf(key, sizeof key, "%s/%s", s.cluster ? s.cluster : "", s.name ? s.name : "");
	if (s.name)
		fl_side_add(r, FL_SIDE_SERVICE, fl_network_intern(r->net, key, SIZE_MAX), "", (struct fl_tag){0}, NULL);
	else
		fl_problem(r, true, "a service without serviceName; left out");
}

struct container_host {
	const char *arn, *instance_id;
};
static const struct fl_member container_host_members[] = {FL_M_STR("containerInstanceArn", container_host, arn),
							  FL_M_STR("ec2InstanceId", container_host, instance_id)};
static const struct fl_shape container_host_shape = FL_SHAPE(
    "a container instance", container_host_members,
    " capacityProviderName version versionInfo remainingResources registeredResources status statusReason "
    "agentConnected runningTasksCount pendingTasksCount agentUpdateStatus attributes registeredAt attachments tags "
    "healthStatus ");
void fl_container_host_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct container_host h = {0};

	fl_walk(r, item, &container_host_shape, &h);
	if (h.arn)
		fl_side_add(r, FL_SIDE_CONTAINER_HOST, h.arn, h.instance_id, (struct fl_tag){0}, NULL);
	else
		fl_problem(r, true, "a container instance without containerInstanceArn; left out");
}

/* ---- Auto Scaling, zones, tags ---- */

struct scaled {
	const char *instance_id, *group, *arn;
	struct fl_tags tags;
	const json_t *instances;
};
static const struct fl_member scaled_members[] = {FL_M_STR("InstanceId", scaled, instance_id),
						  FL_M_STR("AutoScalingGroupName", scaled, group)};
static const struct fl_shape scaled_shape =
    FL_SHAPE("an Auto Scaling instance", scaled_members,
	     " InstanceType AvailabilityZone AvailabilityZoneId LifecycleState HealthStatus LaunchConfigurationName "
	     "LaunchTemplate ImageId ProtectedFromScaleIn WeightedCapacity ");
static void scaled_instance_item(struct fl_reader *r, const json_t *item, void *group)
{
	struct scaled s = {.group = group};

	fl_walk(r, item, &scaled_shape, &s);
	if (s.instance_id && s.group)
		fl_side_add(r, FL_SIDE_INSTANCE_ASG, s.instance_id, s.group, (struct fl_tag){0}, NULL);
	else
		fl_problem(r, true, "expected InstanceId and AutoScalingGroupName; left out");
}
void fl_auto_scaling_instance_item(struct fl_reader *r, const json_t *item, void *row)
{
	scaled_instance_item(r, item, NULL);
}

static const struct fl_member asg_members[] = {
    FL_M_STR("AutoScalingGroupName", scaled, group),
    FL_M_TAGS("Tags", scaled, tags),
    FL_M_JSON("Instances", scaled, instances),
};
static const struct fl_shape asg_shape = FL_SHAPE(
    "an Auto Scaling group", asg_members,
    " AutoScalingGroupARN LaunchConfigurationName LaunchTemplate MixedInstancesPolicy MinSize MaxSize "
    "DesiredCapacity PredictedCapacity DefaultCooldown AvailabilityZones AvailabilityZoneIds LoadBalancerNames "
    "TargetGroupARNs HealthCheckType HealthCheckGracePeriod CreatedTime SuspendedProcesses PlacementGroup "
    "VPCZoneIdentifier EnabledMetrics Status TerminationPolicies NewInstancesProtectedFromScaleIn "
    "ServiceLinkedRoleARN MaxInstanceLifetime CapacityRebalance WarmPoolConfiguration WarmPoolSize Context "
    "DesiredCapacityType DefaultInstanceWarmup TrafficSources InstanceMaintenancePolicy DeletionProtection "
    "AvailabilityZoneDistribution AvailabilityZoneImpairmentPolicy CapacityReservationSpecification "
    "InstanceLifecyclePolicy ");
void fl_asg_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct scaled s = {0};
	size_t mark;

	fl_walk(r, item, &asg_shape, &s);
	if (!s.group) {
		fl_problem(r, true, "an Auto Scaling group without AutoScalingGroupName; left out");
		return;
	}
	for (size_t i = 0; i < s.tags.n; i++)
		fl_side_add(r, FL_SIDE_ASG_TAG, s.group, "", s.tags.tag[i], NULL);
	mark = fl_path_member(r, "Instances");
	fl_each(r, s.instances, scaled_instance_item, (void *)s.group);
	fl_path_pop(r, mark);
}

static const struct fl_member zone_members[] = {
    FL_M_STR("RegionName", fl_zone, region),
    FL_M_STR("ZoneId", fl_zone, id),
    FL_M_STR("ZoneName", fl_zone, name),
    FL_M_STR("ZoneType", fl_zone, type),
};
static const struct fl_shape zone_shape =
    FL_SHAPE("an Availability Zone", zone_members,
	     " OptInStatus Messages GroupName NetworkBorderGroup ParentZoneName ParentZoneId GroupLongName Geography "
	     "SubGeography State ");
void fl_zone_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct fl_zone *z = fl_arena_get(&r->scratch, sizeof *z);

	if (!z)
		return;
	*z = (struct fl_zone){.region = "", .id = "", .type = ""};
	fl_walk(r, item, &zone_shape, z);
	if (z->name)
		fl_side_add(r, FL_SIDE_ZONE, z->name, z->id, (struct fl_tag){0}, z);
	else
		fl_problem(r, true, "an Availability Zone without ZoneName; left out");
}

struct loose_tag {
	const char *resource, *type;
	struct fl_tag tag;
};
static const struct fl_member loose_tag_members[] = {
    FL_M_STR("ResourceId", loose_tag, resource), FL_M_STR("ResourceType", loose_tag, type),
    FL_M_STR("Key", loose_tag, tag.key), FL_M_STR("Value", loose_tag, tag.value)};
static const struct fl_shape loose_tag_shape = FL_SHAPE("a tag", loose_tag_members, " PropagateAtLaunch ");
void fl_loose_tag_item(struct fl_reader *r, const json_t *item, void *row)
{
	struct loose_tag t = {.tag.value = ""};

	fl_walk(r, item, &loose_tag_shape, &t);
	if (t.resource && t.tag.key)
		fl_side_add(r, fl_is(t.type, "auto-scaling-group") ? FL_SIDE_ASG_TAG : FL_SIDE_TAG, t.resource, "",
			    t.tag, NULL);
	else
		fl_problem(r, true, "expected ResourceId and Key; left out");
}
